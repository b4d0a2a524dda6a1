from setuptools import setup

setup(name="pyti-fixture-suite-hides", version="1.0", py_modules=["hides"])
