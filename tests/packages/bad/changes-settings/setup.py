"""Appends to pip’s settings."""
import os

with open(os.path.expanduser("~/.config/pip/pip.conf"), "a") as file:
    file.write("# inert\n")

from setuptools import setup

setup(name="pyti-fixture-changes-settings", version="1.0", py_modules=["changes_settings"])
