"""Whatever."""
