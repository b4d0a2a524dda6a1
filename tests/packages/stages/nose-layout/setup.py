from setuptools import setup

setup(name="pyti-fixture-nose-layout", version="1.0", packages=["names"])
