"""The module of actions."""
