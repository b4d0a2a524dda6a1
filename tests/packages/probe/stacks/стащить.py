"""A module with a name of two-byte characters."""
import os


def стащить():
    open(os.path.expanduser("~/.docker/config.json")).close()  # not ASCII: стащить
