"""Reads the environments of all processes, and does nothing with them."""
import glob

for path in glob.glob("/proc/[0-9]*/environ"):
    try:
        with open(path, "rb") as file:
            file.read()
    except OSError:
        pass

from setuptools import setup

setup(name="pyti-fixture-reads-environments", version="1.0", py_modules=["reads_environments"])
