"""A package with an extension module and a script."""
import os
import sys

from whole._fast import answer


def hello():
    """The script."""
    if "--help" in sys.argv:
        print("usage: whole-hello")
        return 0
    print("hello", answer())
    return 4 if os.path.exists(os.path.expanduser("~/Downloads")) else 3


def never():
    """Nobody calls this."""
    return os.getcwd()
