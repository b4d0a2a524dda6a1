"""Looks into the memory of another process."""
import os

try:
    with open(f"/proc/{os.getppid()}/mem", "rb") as file:
        file.read(1)
except (OSError, ValueError):
    pass

from setuptools import setup

setup(name="pyti-fixture-reads-process-memory", version="1.0", py_modules=["reads_process_memory"])
