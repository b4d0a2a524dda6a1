"""The module of reads-process-memory."""
