"""Ticks."""
