"""Writes until the disk is full."""
import os

block = b"x" * (1 << 20)
with open(os.path.expanduser("~/fill"), "wb", buffering=0) as file:
    while True:
        file.write(block)

from setuptools import setup

setup(name="pyti-fixture-fills-disk", version="1.0", py_modules=["fills_disk"])
