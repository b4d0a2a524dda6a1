"""Installs a job for cron."""
import subprocess

subprocess.run(["crontab", "-"], input=b"@reboot true\n", check=False)

from setuptools import setup

setup(name="pyti-fixture-installs-cron", version="1.0", py_modules=["installs_cron"])
