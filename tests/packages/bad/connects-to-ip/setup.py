"""Connects to a public address that it did not ask a name server for."""
import socket

try:
    socket.create_connection(("198.51.100.23", 443), timeout=2).close()
except OSError:
    pass

from setuptools import setup

setup(name="pyti-fixture-connects-to-ip", version="1.0", py_modules=["connects_to_ip"])
