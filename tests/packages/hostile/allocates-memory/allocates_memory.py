"""The module of allocates-memory."""
