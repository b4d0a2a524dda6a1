"""In a namespace package, which has no code of its own."""
