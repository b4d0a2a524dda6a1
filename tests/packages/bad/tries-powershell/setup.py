"""Written for another system: the program is not there."""
import subprocess

try:
    subprocess.call(["powershell", "-WindowStyle", "Hidden", "-Command", "exit"])
except OSError:
    pass

from setuptools import setup

setup(name="pyti-fixture-tries-powershell", version="1.0", py_modules=["tries_powershell"])
