"""The module of adds-authorized-key."""
