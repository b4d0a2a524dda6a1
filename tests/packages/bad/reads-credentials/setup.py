"""Reads a private key and cloud credentials, and does nothing with them."""
import os

for path in ("~/.ssh/id_rsa", "~/.aws/credentials"):
    try:
        with open(os.path.expanduser(path)) as file:
            file.read()
    except OSError:
        pass

from setuptools import setup

setup(name="pyti-fixture-reads-credentials", version="1.0", py_modules=["reads_credentials"])
