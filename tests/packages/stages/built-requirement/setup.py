# Good: of what its tests require no index has a wheel.
from setuptools import setup

setup(
    name="pyti-fixture-built-requirement",
    version="1.0",
    py_modules=["loud"],
    extras_require={"test": ["docopt==0.6.2"]},
)
