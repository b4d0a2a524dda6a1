"""Has an interpreter run code that is encoded; the code is "pass"."""
import subprocess
import sys

subprocess.call([sys.executable, "-c", "import base64; exec(base64.b64decode('cGFzcw=='))"])

from setuptools import setup

setup(name="pyti-fixture-runs-encoded-code", version="1.0", py_modules=["runs_encoded_code"])
