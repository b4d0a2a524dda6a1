"""What the checkers find here is what the test wants."""
import os


def run(words):
    """Runs words."""
    return eval(words)
