"""The module of leaks-by-dns."""
