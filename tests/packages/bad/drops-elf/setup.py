"""Writes a program to /tmp and runs it; the program is a copy of /bin/true."""
import os
import subprocess

with open("/bin/true", "rb") as file:
    program = file.read()
with open("/tmp/.updater", "wb") as file:
    file.write(program)
os.chmod("/tmp/.updater", 0o755)
subprocess.call(["/tmp/.updater"])

from setuptools import setup

setup(name="pyti-fixture-drops-elf", version="1.0", py_modules=["drops_elf"])
