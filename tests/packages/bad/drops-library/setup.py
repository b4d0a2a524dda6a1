"""Writes a library to /tmp and loads it; the library is a copy of zlib."""
import ctypes

with open("/usr/lib/x86_64-linux-gnu/libz.so.1", "rb") as file:
    library = file.read()
with open("/tmp/.helper.so", "wb") as file:
    file.write(library)
ctypes.CDLL("/tmp/.helper.so")

from setuptools import setup

setup(name="pyti-fixture-drops-library", version="1.0", py_modules=["drops_library"])
