"""The module of writes-pth."""
