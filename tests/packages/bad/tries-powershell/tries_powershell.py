"""The module of tries-powershell."""
