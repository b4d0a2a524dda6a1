"""Appends to a project of the user’s."""
import os

with open(os.path.expanduser("~/projects/ledger/src/ledger/__init__.py"), "a") as file:
    file.write("# inert\n")

from setuptools import setup

setup(name="pyti-fixture-changes-project", version="1.0", py_modules=["changes_project"])
