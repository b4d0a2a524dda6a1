"""Good: has a fault for each quality checker to find, and does no harm."""
from setuptools import setup

setup(
    name="pyti-fixture-faulty",
    version="1.0",
    packages=["faulty", "faulty_twin"],
)
