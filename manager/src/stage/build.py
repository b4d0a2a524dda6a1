"""Builds the wheel of a source distribution, twice, and tells what came of it.

Usage: build.py INPUT RESULT, both JSON. INPUT has the path of the source distribution. Runs on Python
2.7 and later; there is no `build` for Python 2 that works without a virtualenv of its own, so that
setup.py makes the wheel there, or pip where a package has a build system of its own (PEP 518).
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys

def build(sdist):
    """One build, always in the same directory: a compiler writes its name into what it makes."""
    directory = os.path.expanduser("~/build")
    shutil.rmtree(directory, ignore_errors=True)
    out = os.path.join(directory, "out")
    source = unpack(sdist, os.path.join(directory, "source"))
    began = CLOCK()
    if sys.version_info[0] > 2:
        words = ["-m", "build", "--wheel", "--outdir", out, source]
    elif not os.path.exists(os.path.join(source, "pyproject.toml")):
        words = ["-c", SETUP, "bdist_wheel", "--dist-dir", out]
    else:
        words = ["-m", "pip", "wheel", "--no-deps", "--no-cache-dir", "--verbose", "--no-input",
                 "--no-color", "--progress-bar", "off", "--wheel-dir", out, source]
    with open(os.devnull) as null:
        status = subprocess.call([sys.executable] + words, stdin=null, stderr=subprocess.STDOUT,
                                 cwd=source)
    wheels = []
    for name in sorted(os.listdir(out)) if os.path.isdir(out) else []:
        if not os.path.isfile(os.path.join(out, name)):
            continue
        with open(os.path.join(out, name), "rb") as file:
            data = file.read()
        wheels.append({"filename": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    return {"exit": status, "seconds": CLOCK() - began, "source": source,
            "out": out, "wheels": wheels}


def main():
    """Builds twice where the first build succeeds: the same wheel each time, or not."""
    with open(sys.argv[1], "rb") as file:
        sdist = json.load(file)["sdist"]
    builds = []
    for _ in range(2):
        builds.append(build(sdist))
        with open(sys.argv[2] + ".part", "w") as file:
            json.dump(builds, file)
        os.rename(sys.argv[2] + ".part", sys.argv[2])
        if builds[-1]["exit"] != 0:
            break
        if len(builds) == 1 and builds[0]["wheels"]:
            first = os.path.join(builds[0]["out"], builds[0]["wheels"][0]["filename"])
            shutil.copyfile(first, os.path.join(os.path.dirname(sys.argv[2]), "built.whl"))
        # On a line of its own: diagnostics.rs tells by it what the first build said.
        print("\n[end of a build]")
        sys.stdout.flush()


main()
