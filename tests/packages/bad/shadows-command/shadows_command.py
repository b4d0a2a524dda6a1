"""The module of shadows-command."""
