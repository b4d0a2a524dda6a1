from setuptools import setup

setup(
    name="pyti-fixture-nose2-suite",
    version="1.0",
    package_dir={"": "src"},
    packages=["steps"],
)
