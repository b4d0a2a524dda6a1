"""Appends to a start-up file of the shell."""
import os

with open(os.path.expanduser("~/.bashrc"), "a") as file:
    file.write("true # inert\n")

from setuptools import setup

setup(name="pyti-fixture-appends-bashrc", version="1.0", py_modules=["appends_bashrc"])
