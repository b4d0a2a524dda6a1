"""How cold it is."""

DEGREES = -10
