"""The module of pure-pyproject."""
