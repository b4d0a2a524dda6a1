"""The usual function of an application that `setup.py test` called: it ends the process itself."""

import sys

import django
from django.conf import settings


def runtests():
    settings.configure()
    django.setup()
    from django.test.runner import DiscoverRunner

    sys.exit(bool(DiscoverRunner().run_tests(["wares"])))
