"""The module of prints-escapes."""
