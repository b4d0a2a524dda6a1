"""Good: only its setup.py says what it is built with, and needs it."""
from setuptools import setup
from setuptools.command.build_py import build_py

BUILT_WITH = [
    "six>=1.10",
]


class BuildPy(build_py):
    def run(self):
        import six

        six.text_type
        build_py.run(self)


setup(
    name="pyti-fixture-setup-requires",
    version="1.0",
    py_modules=["asks_first"],
    setup_requires=BUILT_WITH,
    cmdclass={"build_py": BuildPy},
)
