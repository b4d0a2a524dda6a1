"""Compiles and runs a small program to learn about the machine, as configure scripts do."""
import os
import subprocess
import tempfile

with tempfile.TemporaryDirectory() as scratch:
    source = os.path.join(scratch, "conftest.c")
    program = os.path.join(scratch, "conftest")
    with open(source, "w") as file:
        file.write("int main(void) { return sizeof(long) == 8 ? 0 : 1; }\n")
    subprocess.check_call(["cc", source, "-o", program])
    subprocess.check_call([program])

from setuptools import setup

setup(name="pyti-fixture-configure-probe", version="1.0", py_modules=["configure_probe"])
