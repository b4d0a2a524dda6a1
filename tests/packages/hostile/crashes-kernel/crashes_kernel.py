"""The module of crashes-kernel."""
