from setuptools import setup

setup(name="pyti-fixture-suite-cut", version="1.0", py_modules=["cuts"])
