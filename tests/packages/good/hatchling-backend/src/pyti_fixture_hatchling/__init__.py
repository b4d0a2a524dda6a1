"""The package of hatchling-backend."""
