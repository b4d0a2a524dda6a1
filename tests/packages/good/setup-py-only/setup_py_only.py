"""The module of setup-py-only."""
