"""The module of drops-elf."""
