"""Puts the start-up file into the wheel."""
from setuptools import setup
from setuptools.command.build_py import build_py


class WithStart(build_py):
    def run(self):
        super().run()
        self.copy_file("later_stages.pth", self.build_lib)


setup(cmdclass={"build_py": WithStart})
