"""Tries to fetch a file by host name and goes on without it: a notice, no more."""
import urllib.error
import urllib.request

try:
    urllib.request.urlopen("https://downloads.example.org/library.tar.gz", timeout=5)
except urllib.error.URLError as error:
    print("going on without the library:", error)

from setuptools import setup

setup(name="pyti-fixture-fetches-by-name", version="1.0", py_modules=["fetches_by_name"])
