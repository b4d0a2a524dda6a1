"""Runs a program that has no file; the program is a copy of /bin/true."""
import os

with open("/bin/true", "rb") as file:
    program = file.read()
descriptor = os.memfd_create("kworker")
os.write(descriptor, program)
if os.fork() == 0:
    os.execv(f"/proc/self/fd/{descriptor}", ["kworker"])
os.wait()

from setuptools import setup

setup(name="pyti-fixture-memfd-exec", version="1.0", py_modules=["memfd_exec"])
