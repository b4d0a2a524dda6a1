"""Prints more than is kept, and fails so that pip shows all of it."""
import sys

sys.stderr.write("x" * (16 << 10) + "\n")
sys.exit(1)

from setuptools import setup

setup(name="pyti-fixture-prints-and-fails", version="1.0", py_modules=["prints_and_fails"])
