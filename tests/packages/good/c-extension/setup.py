"""One C file: the compiler, the assembler and the linker run."""
from setuptools import Extension, setup

setup(
    name="pyti-fixture-c-extension",
    version="1.0",
    ext_modules=[Extension("c_extension", ["c_extension.c"])],
)
