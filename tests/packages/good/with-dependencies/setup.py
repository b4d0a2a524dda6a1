"""Needs other packages, one of which is to be had as source only."""
from setuptools import setup

setup(name="pyti-fixture-with-dependencies", version="1.0", py_modules=["with_dependencies"], install_requires=["docopt==0.6.2", "six"])
