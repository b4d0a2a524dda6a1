"""Makes a wheel of a source distribution by pip, and tells how that ended. That it fails is told too, and is no
failure of this program.

Usage: source_wheel.py SDIST WHEELHOUSE SECONDS WHEEL RESULT. WHEEL is where the wheel is put. RESULT is JSON:
"status" is pip's exit status, below zero the signal that ended it, null where its time was up; "wheel" is the
file name of the wheel, null where that is not one. Runs on Python 2.7 and later.
"""

import json
import os
import shutil
import signal
import sys
import tempfile


def main():
    """Builds, and tells."""
    sdist, wheelhouse, seconds, wheel, result = sys.argv[1:]
    out = tempfile.mkdtemp()
    argv = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--find-links", wheelhouse,
            "--no-cache-dir", "--no-input", "--no-color", "--progress-bar", "off", "--wheel-dir", out, sdist]
    process = start(argv)
    status = ended_within(process, float(seconds))
    if status is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    made = [name for name in os.listdir(out)
            if name.endswith(".whl") and os.path.isfile(os.path.join(out, name))]
    told = {"status": status, "wheel": None}
    if status == 0 and len(made) == 1:
        shutil.copyfile(os.path.join(out, made[0]), wheel)
        told["wheel"] = made[0]
    with open(result, "w") as file:
        json.dump(told, file)


main()
