"""Fails: an extension that it needs does not compile."""
from setuptools import Extension, setup

setup(ext_modules=[Extension("a", ["a.c"])])
