"""A second package in one wheel."""
