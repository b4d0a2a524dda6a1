"""The module of copies-elf."""
