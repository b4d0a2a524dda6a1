"""The module of reads-stored-secrets."""
