"""The module of uploads."""
