/* For no machine. */
#error "no such instruction"
