from setuptools import setup

setup(name="pyti-fixture-suite-breaks", version="1.0", py_modules=["whatever"])
