"""Asks the cloud metadata service for credentials."""
import socket

try:
    socket.create_connection(("169.254.169.254", 80), timeout=2).close()
except OSError:
    pass

from setuptools import setup

setup(name="pyti-fixture-connects-to-metadata", version="1.0", py_modules=["connects_to_metadata"])
