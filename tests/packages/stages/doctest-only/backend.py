"""A build back end (PEP 517) of the package's own."""

import os
import zipfile

INFO = "pyti_fixture_doctest_only-1.0.dist-info"
METADATA = {
    "METADATA": "Metadata-Version: 2.1\nName: pyti-fixture-doctest-only\nVersion: 1.0\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: backend\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "entry_points.txt": "[console_scripts]\nhalve = halves:half\n\n"
    "[gui_scripts]\nhalve-window = halves:half\n\n[halves.kinds]\nwhole = halves:half [more]\n",
}


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    os.mkdir(os.path.join(metadata_directory, INFO))
    for name, text in METADATA.items():
        with open(os.path.join(metadata_directory, INFO, name), "w") as file:
            file.write(text)
    return INFO


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    filename = "pyti_fixture_doctest_only-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, filename), "w") as wheel:
        wheel.write("halves.py")
        for name, text in METADATA.items():
            wheel.writestr(INFO + "/" + name, text)
        listed = [path + ",,\n" for path in wheel.namelist() + [INFO + "/RECORD"]]
        wheel.writestr(INFO + "/RECORD", "".join(listed))
    return filename
