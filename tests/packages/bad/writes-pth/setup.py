"""Writes a .pth file, which every start of an interpreter runs."""
import os
import site

directory = site.getusersitepackages()
os.makedirs(directory, exist_ok=True)
with open(os.path.join(directory, "updater.pth"), "w") as file:
    file.write("import sys\n")

from setuptools import setup

setup(name="pyti-fixture-writes-pth", version="1.0", py_modules=["writes_pth"])
