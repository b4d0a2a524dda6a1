"""The module of fills-disk."""
