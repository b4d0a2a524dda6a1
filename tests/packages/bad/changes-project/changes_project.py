"""The module of changes-project."""
