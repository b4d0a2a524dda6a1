"""The module of sleeps."""
