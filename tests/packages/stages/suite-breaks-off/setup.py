from setuptools import setup

setup(name="pyti-fixture-suite-breaks-off", version="1.0", py_modules=["ends"])
