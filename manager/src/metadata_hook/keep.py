"""Keeps the entry points of a source distribution, which pip's report leaves out.

It is the `sitecustomize` of the interpreter that runs pip, and of none that pip starts. pip has the
metadata made in a directory of its own, reads it, and removes it, which is an auditing event: then
the entry points in it are written to KEPT, which is empty where there are none.
"""

import os
import stat
import sys

KEPT = "/home/dev/.cache/build-entry-points.txt"
LONGEST = 1 << 20  # bytes; the host reads no more
# How pip names these directories: for PEP 517, and for `setup.py egg_info`.
MADE = ("pip-modern-metadata-", "pip-pip-egg-info-")


def text(path):
    """The beginning of a file, which is the package's own to make; empty where there is none."""
    try:
        found = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return b""
    with open(found, "rb") as file:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise OSError("it is no plain file")
        return file.read(LONGEST + 1)


def keep(event, arguments):
    """Hears of a directory that is to be removed."""
    if event != "shutil.rmtree" or not isinstance(arguments[0], str):
        return
    directory = arguments[0]
    if not os.path.basename(directory).startswith(MADE):
        return
    try:
        names = sorted(os.listdir(directory))
        for end in (".dist-info", ".egg-info"):
            for name in names:
                if name.endswith(end):
                    found = text(os.path.join(directory, name, "entry_points.txt"))
                    # Removing is tried again where it fails, when half of it is gone.
                    with open(KEPT, "xb") as file:
                        file.write(found)
                    return
    except OSError:
        pass


# Neither is for what pip starts.
os.environ.pop("PYTHONPATH", None)
sys.path[:] = [path for path in sys.path if path != os.path.dirname(__file__)]
sys.addaudithook(keep)
