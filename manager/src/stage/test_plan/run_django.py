"""Runs the tests of a Django application with results as JUnit XML, and each as soon as it is there.

Usage: run_django.py REPORTS (-m MODULE | SCRIPT) [ARGUMENT...]. The application's own settings win
over what is set here, which are only the defaults.
"""

import os
import runpy
import sys
import unittest

import each_result
from django.conf import global_settings

results = each_result.keep(sys.argv[1])
# Django's runner would answer an interruption by waiting for the test that runs.
unittest.installHandler = lambda: None
global_settings.TEST_OUTPUT_DIR = sys.argv[1]
global_settings.TEST_RUNNER = "xmlrunner.extra.djangotestrunner.XMLTestRunner"
del sys.argv[:2]

# An application may choose another runner of unittest's tests than that.
with each_result.other_runners(results):
    if sys.argv[0] == "-m":
        del sys.argv[0]
        sys.path[0] = os.getcwd()
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
        runpy.run_path(sys.argv[0], run_name="__main__")
results.whole()
