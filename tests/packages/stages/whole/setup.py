"""Good: has a bit of all that the stages look at."""
import os

from setuptools import Extension, setup

# What an installation removes is gone for whatever starts from it.
try:
    os.rmdir(os.path.expanduser("~/Downloads"))
except FileNotFoundError:
    pass

setup(
    name="pyti-fixture-whole",
    version="1.0",
    license="MIT",
    packages=["whole", "spread.part"],
    py_modules=["whole_broken"],
    ext_modules=[
        Extension("whole._fast", ["whole/_fast.c"]),
        # The build goes on without it.
        Extension("whole._gone", ["whole/_gone.c"], optional=True),
    ],
    entry_points={"console_scripts": ["whole-hello = whole:hello"]},
)
