"""Writes two programs to /tmp and runs them; each is a copy of /bin/true. The second one is left open by a
child that becomes the linker, as if that had written it."""
import os
import subprocess

with open("/bin/true", "rb") as file:
    program = file.read()
with open("/tmp/.updater", "wb") as file:
    file.write(program)
os.chmod("/tmp/.updater", 0o755)
subprocess.call(["/tmp/.updater"])

child = os.fork()
if child == 0:
    left_open = os.open("/tmp/.linked", os.O_CREAT | os.O_WRONLY, 0o755)
    os.write(left_open, program)
    os.set_inheritable(left_open, True)
    os.execv("/usr/bin/ld", ["ld", "-v"])
os.waitpid(child, 0)
subprocess.call(["/tmp/.linked"])

from setuptools import setup

setup(name="pyti-fixture-drops-elf", version="1.0", py_modules=["drops_elf"])
