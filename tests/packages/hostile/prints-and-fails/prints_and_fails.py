"""The module of prints-and-fails."""
