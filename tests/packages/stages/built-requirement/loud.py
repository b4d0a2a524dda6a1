"""How loud."""

USAGE = "Usage: loud [--very]"
