"""Wares."""
