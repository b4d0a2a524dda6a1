"""The module of with-dependencies."""
