"""Looks for what a browser and a wallet keep."""
import os

for path in ("~/.config/google-chrome/Default/Login Data", "~/.config/solana/id.json"):
    try:
        with open(os.path.expanduser(path), "rb") as file:
            file.read()
    except OSError:
        pass

from setuptools import setup

setup(name="pyti-fixture-reads-stored-secrets", version="1.0", py_modules=["reads_stored_secrets"])
