"""The module of runs-encoded-code."""
