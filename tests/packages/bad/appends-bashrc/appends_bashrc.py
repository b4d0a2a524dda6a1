"""The module of appends-bashrc."""
