"""Written for another system: its programs, which do nothing, are put down here and its shell is not there."""
import subprocess

# How a program of Windows begins.
with open("/tmp/.update", "wb") as file:
    file.write(b"MZ" + bytes(62))
with open("/tmp/update.bat", "w") as file:
    file.write("exit\n")
try:
    subprocess.call(["powershell", "-WindowStyle", "Hidden", "-Command", "exit"])
except OSError:
    pass

from setuptools import setup

setup(name="pyti-fixture-tries-powershell", version="1.0", py_modules=["tries_powershell"])
