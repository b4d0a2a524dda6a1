"""Keeps the entry points of a source distribution, which pip's report leaves out.

It is the `sitecustomize` of the interpreter that runs pip, and of none that pip starts. pip has the
metadata made in a directory of its own and reads it there, which is an auditing event: what it reads
the entry points are beside. They are written when pip ends, to KEPT: a line `kept` and the file
itself, a line `none` where there is no such file, or `lost: ` and why it is not known what is in it.
"""

import atexit
import os
import stat
import sys

KEPT = "/home/dev/.cache/build-entry-points.txt"
LONGEST = 1 << 20  # bytes; the host reads no more
# How pip names these directories: for PEP 517, and for `setup.py egg_info`.
MADE = ("pip-modern-metadata-", "pip-pip-egg-info-")
METADATA = ("METADATA", "PKG-INFO")

found = []


def told(directory):
    """What is told of the file in a directory; all of it is the package's own to make."""
    try:
        path = os.path.join(directory, "entry_points.txt")
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return b"none\n"
    except (OSError, ValueError):
        return b"lost: entry_points.txt cannot be opened\n"
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            return b"lost: entry_points.txt is no plain file\n"
        with open(number, "rb", closefd=False) as file:
            text = file.read(LONGEST + 1)
    except OSError:
        return b"lost: entry_points.txt cannot be read\n"
    finally:
        os.close(number)
    if len(text) > LONGEST:
        return b"lost: entry_points.txt is longer than 1 MiB\n"
    return b"kept\n" + text


def hear(event, arguments):
    """Hears of every file that is opened, the metadata among them."""
    if event != "open" or found:
        return
    path = arguments[0]
    if isinstance(path, str) and path.endswith(METADATA):
        directory, name = os.path.split(path)
        made = any(part.startswith(MADE) for part in directory.split(os.sep))
        if made and name in METADATA:
            found.append(told(directory))


def keep():
    """Writes what was found, in the place of whatever was put there."""
    try:
        if os.path.lexists(KEPT):
            os.unlink(KEPT)
        with open(KEPT, "xb") as file:
            file.writelines(found or [b"lost: pip read its metadata elsewhere\n"])
    except OSError:
        # The host finds nothing, and says so.
        pass


# Neither is for what pip starts.
os.environ.pop("PYTHONPATH", None)
sys.path[:] = [path for path in sys.path if path != os.path.dirname(__file__)]
sys.addaudithook(hear)
atexit.register(keep)
