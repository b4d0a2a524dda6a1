"""Makes events faster than a disk takes them."""
import os

for number in range(100_000):
    try:
        os.open(f"/tmp/missing-{number}", os.O_RDONLY)
    except OSError:
        pass

from setuptools import setup

setup(name="pyti-fixture-floods-events", version="1.0", py_modules=["floods_events"])
