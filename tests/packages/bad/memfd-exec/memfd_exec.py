"""The module of memfd-exec."""
