"""The module of starts-miner."""
