"""Good: written for Python 2, with distutils; setuptools before 58 makes a Python 3 package of it."""
from distutils.core import setup

setup(
    name="pyti-fixture-two-to-three",
    version="1.0",
    packages=["two_to_three", "two_to_three.tests"],
    test_suite="two_to_three.tests",
    use_2to3=True,
)
