"""A package with an extension module, a script and a module that cannot be imported."""
import sys

from whole._fast import answer


def hello():
    """The script."""
    if "--help" in sys.argv:
        print("usage: whole-hello")
        return 0
    print("hello", answer())
    return 3


def never():
    """Nobody calls this."""
    import os
    return os.getcwd()
