from setuptools import setup

setup(
    name="pyti-fixture-django-app",
    version="1.0",
    packages=["wares"],
    install_requires=["django"],
)
