"""The module of drops-library."""
