"""The module of asks-for-webhook."""
