"""Writes the metadata of a source distribution to a file, as a METADATA file has it, and its entry
points to another, where pip is too old to report (before 22.2).

Usage: metadata.py SDIST WHEELHOUSE METADATA ENTRY_POINTS. Runs on Python 2.7 and later. A package with
a build system of its own (PEP 518) is built as a wheel, which has both in it; any other is asked by its
setup.py. ENTRY_POINTS is what keep.py writes: a line `kept` and the file itself, a line `none` where there
is no such file, or `lost: ` and why it is not known what is in it.
"""

import glob
import os
import subprocess
import sys
import tempfile

ENTRY_POINTS = "entry_points.txt"
LONGEST = 1 << 20  # bytes of them; the host reads no more


def built(source, wheelhouse):
    """The metadata in the wheel that pip builds, and its entry points."""
    out = tempfile.mkdtemp()
    subprocess.check_call([sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index",
                           "--find-links", wheelhouse, "--no-input", "--no-color",
                           "--progress-bar", "off", "--wheel-dir", out, source])
    wheel, = os.listdir(out)
    with zipfile.ZipFile(os.path.join(out, wheel)) as archive:
        name, = [name for name in archive.namelist()
                 if name.endswith(".dist-info/METADATA") and name.count("/") == 1]
        points = name.replace("/METADATA", "/" + ENTRY_POINTS)
        if points not in archive.namelist():
            return archive.read(name), b"none\n"
        with archive.open(points) as file:
            return archive.read(name), kept(file)


def kept(file):
    """What is told of the entry points in an open file."""
    text = file.read(LONGEST + 1)
    if len(text) > LONGEST:
        return b"lost: entry_points.txt is longer than 1 MiB\n"
    return b"kept\n" + text


def told(path):
    """What is told of those in the file of this path, which is the package's own to make."""
    if not os.path.lexists(path):
        return b"none\n"
    # Neither a pipe, which would never be read, nor a device.
    if os.path.islink(path) or not os.path.isfile(path):
        return b"lost: entry_points.txt is no plain file\n"
    try:
        with open(path, "rb") as file:
            return kept(file)
    except EnvironmentError:
        return b"lost: entry_points.txt cannot be read\n"


def asked(source):
    """The metadata that setup.py gives, in the form that a wheel would have it in, and its entry points."""
    # Before anything of the package can take its place.
    from wheel.metadata import pkginfo_to_metadata
    out = tempfile.mkdtemp()
    subprocess.check_call([sys.executable, "-c", SETUP, "egg_info", "--egg-base", out],
                          cwd=source)
    info, = glob.glob(os.path.join(out, "*.egg-info"))
    metadata = pkginfo_to_metadata(info, os.path.join(info, "PKG-INFO"))
    fields = ["%s: %s" % (name, " ".join(("%s" % value).split()))
              for name, value in metadata.items()
              # How an old setuptools writes that there is none.
              if name.lower() != "description" and value != "UNKNOWN"]
    text = "\n".join(fields) + "\n"
    points = told(os.path.join(info, ENTRY_POINTS))
    return text if isinstance(text, bytes) else text.encode("utf-8", "replace"), points


def main():
    """Unpacks, asks, writes."""
    sdist, wheelhouse = sys.argv[1:3]
    source = unpack(sdist, tempfile.mkdtemp())
    old = not os.path.exists(os.path.join(source, "pyproject.toml"))
    both = asked(source) if old else built(source, wheelhouse)
    for path, text in zip(sys.argv[3:], both):
        with open(path, "wb") as file:
            file.write(text)


main()
