"""Allocates all memory."""
hoard = []
while True:
    hoard.append(bytearray(b"x" * (16 << 20)))

from setuptools import setup

setup(name="pyti-fixture-allocates-memory", version="1.0", py_modules=["allocates_memory"])
