"""The module of reads-environments."""
