"""Nothing but a setup.py, as most old packages have it."""
from setuptools import setup

setup(name="pyti-fixture-setup-py-only", version="1.0", py_modules=["setup_py_only"], scripts=["greet.sh"])
