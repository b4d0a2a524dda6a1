"""Copies a program to the home inside the kernel, with sendfile, and runs it; it is /bin/true."""
import os
import shutil
import subprocess

helper = os.path.expanduser("~/updater")
shutil.copyfile("/bin/true", helper)
os.chmod(helper, 0o755)
subprocess.call([helper])

from setuptools import setup

setup(name="pyti-fixture-copies-elf", version="1.0", py_modules=["copies_elf"])
