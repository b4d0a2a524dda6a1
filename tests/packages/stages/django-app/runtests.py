"""The usual runner of an application that has no project."""

import sys

import django
from django.conf import settings
from django.test.utils import get_runner

if __name__ == "__main__":
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["wares"],
    )
    django.setup()
    runner = get_runner(settings)()
    sys.exit(bool(runner.run_tests(["wares"])))
