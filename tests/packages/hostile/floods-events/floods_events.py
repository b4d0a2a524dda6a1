"""The module of floods-events."""
