"""The module of reverse-shell."""
