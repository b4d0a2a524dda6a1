#error "no such machine"
