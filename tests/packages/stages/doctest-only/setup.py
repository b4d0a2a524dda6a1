from setuptools import setup

setup(name="pyti-fixture-doctest-only", version="1.0", py_modules=["halves"])
