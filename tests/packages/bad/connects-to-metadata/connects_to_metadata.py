"""The module of connects-to-metadata."""
