from setuptools import setup

setup(
    name="pyti-fixture-changed-directory",
    version="1.0",
    packages=["rooms"],
)
