"""The module of drops-script."""
