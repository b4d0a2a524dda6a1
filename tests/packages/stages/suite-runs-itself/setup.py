from setuptools import setup

setup(
    name="pyti-fixture-suite-runs-itself",
    version="1.0",
    packages=["wares"],
    test_suite="runtests.runtests",
)
