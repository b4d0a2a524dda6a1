from setuptools import setup

setup(
    name="pyti-fixture-trial-suite",
    version="1.0",
    packages=["ticks", "ticks.test"],
    extras_require={"test": ["twisted", "pyti-fixture-no-such-package"]},
)
