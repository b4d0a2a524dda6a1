"""The module of changes-settings."""
