"""The module of prints-a-gigabyte."""
