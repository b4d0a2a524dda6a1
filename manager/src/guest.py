"""What our programs in the guest have in common; each is put behind this. Runs on Python 2.7 and later."""

import os
import subprocess
import sys
import tarfile
import time
import zipfile

CLOCK = getattr(time, "monotonic", time.time)
# As pip calls a setup.py: setuptools takes the place of distutils.
SETUP = """\
import io, os, sys, setuptools
sys.argv[0] = __file__ = os.path.abspath("setup.py")
sys.path.insert(0, os.path.dirname(__file__))
with io.open(__file__, "rb") as file:
    code = compile(file.read().replace(b"\\r\\n", b"\\n"), __file__, "exec")
exec(code)
"""


def unpack(sdist, directory):
    """Unpacks the source distribution; returns its directory."""
    if sdist.endswith(".zip"):
        with zipfile.ZipFile(sdist) as archive:
            archive.extractall(directory)
    else:
        with tarfile.open(sdist) as archive:
            if hasattr(tarfile, "data_filter"):
                archive.extractall(directory, filter="data")
            else:
                archive.extractall(directory)
    inside = [os.path.join(directory, name) for name in os.listdir(directory)]
    return inside[0] if len(inside) == 1 and os.path.isdir(inside[0]) else directory


def start(argv, **options):
    """Starts a command in a session of its own."""
    with open(os.devnull) as null:
        if sys.version_info[0] == 2:
            argv = [word.encode("utf-8") for word in argv]
            return subprocess.Popen(argv, stdin=null, preexec_fn=os.setsid, close_fds=True, **options)
        return subprocess.Popen(argv, stdin=null, start_new_session=True, **options)


def ended_within(process, seconds):
    """Its exit status, or None where it is still running then."""
    if sys.version_info[0] > 2:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
    until = CLOCK() + seconds
    while process.poll() is None and CLOCK() < until:
        time.sleep(0.02)
    return process.poll()


