"""The module of wipes-home."""
