"""Tries to post to a chat service's webhook."""
import urllib.error
import urllib.request

try:
    urllib.request.urlopen("https://discord.com/api/webhooks/0/nothing", data=b"{}", timeout=5)
except urllib.error.URLError:
    pass

from setuptools import setup

setup(name="pyti-fixture-asks-for-webhook", version="1.0", py_modules=["asks_for_webhook"])
