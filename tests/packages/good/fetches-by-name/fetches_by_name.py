"""The module of fetches-by-name."""
