"""Good: has a bit of all that the stages look at."""
from setuptools import Extension, setup

setup(
    name="pyti-fixture-whole",
    version="1.0",
    license="MIT",
    packages=["whole"],
    ext_modules=[Extension("whole._fast", ["whole/_fast.c"])],
    entry_points={"console_scripts": ["whole-hello = whole:hello"]},
)
