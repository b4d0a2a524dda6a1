"""The module of kills-everything."""
