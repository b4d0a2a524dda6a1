"""The module of configure-probe."""
