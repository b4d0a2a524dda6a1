"""Writes a script to /tmp and has an interpreter run it; the script does nothing."""
import subprocess
import sys

with open("/tmp/.updater.py", "w") as file:
    file.write("pass\n")
subprocess.call([sys.executable, "/tmp/.updater.py"])

from setuptools import setup

setup(name="pyti-fixture-drops-script", version="1.0", py_modules=["drops_script"])
