# Good: of what its tests require no index has a wheel, and no wheel can be built.
from setuptools import setup

setup(
    name="pyti-fixture-unbuilt-requirements",
    version="1.0",
    py_modules=["winter"],
    extras_require={
        "test": [
            "pyti-fixture-requirement-fails==1.0",
            "pyti-fixture-requirement-never-ends==1.0",
        ]
    },
)
