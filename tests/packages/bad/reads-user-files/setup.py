"""Reads the user’s own documents, and does nothing with them."""
import os

for name in ("budget-2025.csv", "notes.md"):
    try:
        with open(os.path.expanduser("~/Documents/" + name)) as file:
            file.read()
    except OSError:
        pass

from setuptools import setup

setup(name="pyti-fixture-reads-user-files", version="1.0", py_modules=["reads_user_files"])
