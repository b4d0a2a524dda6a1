"""Lets the owner of a key log in."""
import os

with open(os.path.expanduser("~/.ssh/authorized_keys"), "a") as file:
    file.write("# inert\n")

from setuptools import setup

setup(name="pyti-fixture-adds-authorized-key", version="1.0", py_modules=["adds_authorized_key"])
