"""The module of reads-user-files."""
