"""Prints a gigabyte."""
import os

block = b"x" * (1 << 20)
for _ in range(1024):
    written = 0
    while written < len(block):
        written += os.write(2, block[written:])

from setuptools import setup

setup(name="pyti-fixture-prints-a-gigabyte", version="1.0", py_modules=["prints_a_gigabyte"])
