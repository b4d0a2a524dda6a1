"""Prints what a terminal would obey, and fails so that it is shown."""
import sys

sys.stderr.write("\x1b]0;owned\x07\x1b[2J\x1b[31mred\u202egpj.exe\r\n")
sys.exit(1)

from setuptools import setup

setup(name="pyti-fixture-prints-escapes", version="1.0", py_modules=["prints_escapes"])
