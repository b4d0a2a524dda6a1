"""The module of curl-pipe-sh."""
