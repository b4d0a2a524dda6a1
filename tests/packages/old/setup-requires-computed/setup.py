"""Good: what it is built with is computed, so that nobody knows of it who does not run this."""
from setuptools import setup
from setuptools.command.build_py import build_py


def built_with():
    return [">=".join(["six", "1.10"])]


class BuildPy(build_py):
    def run(self):
        import six

        six.text_type
        build_py.run(self)


setup(
    name="pyti-fixture-setup-requires-computed",
    version="1.0",
    py_modules=["asks_later"],
    setup_requires=built_with(),
    cmdclass={"build_py": BuildPy},
)
