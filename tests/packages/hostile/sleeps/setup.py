"""Sleeps for ever."""
import time

while True:
    time.sleep(3600)

from setuptools import setup

setup(name="pyti-fixture-sleeps", version="1.0", py_modules=["sleeps"])
