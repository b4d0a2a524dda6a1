"""The module of connects-to-ip."""
