"""Installs and starts a unit of the user’s systemd."""
import os
import subprocess

directory = os.path.expanduser("~/.config/systemd/user")
os.makedirs(directory, exist_ok=True)
with open(os.path.join(directory, "updater.service"), "w") as file:
    file.write("[Service]\nExecStart=/bin/true\n\n[Install]\nWantedBy=default.target\n")
subprocess.run(["systemctl", "--user", "enable", "--now", "updater.service"], check=False)

from setuptools import setup

setup(name="pyti-fixture-installs-systemd-unit", version="1.0", py_modules=["installs_systemd_unit"])
