"""The module of reads-credentials."""
