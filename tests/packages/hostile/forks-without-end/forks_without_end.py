"""The module of forks-without-end."""
