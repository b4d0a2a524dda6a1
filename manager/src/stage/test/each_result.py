"""Keeps the result of each test as soon as it is there, for a runner that does not come to its end.

This is a plugin of pytest (-p), it is unittest-xml-reporting's program (-m, with its own arguments, of which
"-o REPORTS" come first), and run_django.py imports it. A line of the file RESULTS is a test that starts or,
where it has a status, one that ended. The file is removed once the runner has written its own report; not
where pytest was interrupted, since that then has no name for the test which ran. Runs on Python 2.7 and
later.
"""

import os
import sys
from json import dumps
from os import getpid
from time import time
from traceback import format_exception_only

RESULTS = "results.jsonl"
KEPT = 2000  # characters of a name or a text


def plain(text):
    """The text as JSON can have it; a reason may be any object."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    elif not isinstance(text, type(u"")):
        text = repr(text)
    return text.encode("utf-8", "replace").decode("utf-8", "replace")


class Results(object):
    """The file."""

    def __init__(self, directory):
        self.path = os.path.join(directory, RESULTS)
        self.file = open(self.path, "wb", 0)
        self.owner = getpid()

    def put(self, names, status=None, seconds=0.0, message="", traceback=""):
        """A test, by its class and its name, which starts, or which ended so."""
        line = {"class": plain(names[0])[:KEPT], "name": plain(names[1])[:KEPT]}
        if status:
            line.update(status=status, seconds=seconds)
            line.update(message=plain(message)[:KEPT], traceback=plain(traceback)[-KEPT:])
        # A process that a test forked may come here as well.
        if self.file and getpid() == self.owner:
            try:
                self.file.write((dumps(line) + "\n").encode("ascii"))
            except EnvironmentError:
                pass

    def remove(self):
        """There is a report."""
        if self.file and getpid() == self.owner:
            self.file.close()
            self.file = None
            try:
                os.remove(self.path)
            except EnvironmentError:
                pass


def of_node(nodeid):
    """Class and name as pytest has them in its report."""
    path, bracket, parameters = nodeid.partition("[")
    names = [name for name in path.split("::") if name != "()"]
    if names[0].endswith(".py"):
        names[0] = names[0][: -len(".py")]
    names[0] = names[0].replace("/", ".")
    return ".".join(names[:-1]), names[-1] + bracket + parameters


class Plugin(object):
    """What pytest tells."""

    def __init__(self, report):
        self.report = report
        self.results = Results(os.path.dirname(report))
        self.interrupted = False

    def put(self, report, status, message=""):
        """A test that ended, or a file that was not collected."""
        said, text = report.longrepr, ""
        if isinstance(said, tuple):
            # Why it was skipped stands behind the file and the line.
            message = message or said[-1]
        elif said:
            message = message or getattr(getattr(said, "reprcrash", None), "message", "")
            text = report.longreprtext
        seconds = getattr(report, "duration", 0.0)
        self.results.put(of_node(report.nodeid), status, seconds, message, text)

    def pytest_runtest_logstart(self, nodeid):
        self.results.put(of_node(nodeid))

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.put(report, "failed" if report.when == "call" else "error")
        elif report.skipped:
            self.put(report, "skipped", getattr(report, "wasxfail", ""))
        elif report.passed and report.when == "call":
            self.put(report, "passed")

    def pytest_collectreport(self, report):
        if report.failed:
            self.put(report, "error", "collection failure")
        elif report.skipped:
            self.put(report, "skipped")

    def pytest_keyboard_interrupt(self, excinfo):
        # That is called for pytest.exit() as well.
        self.interrupted = self.interrupted or excinfo.type is KeyboardInterrupt

    def pytest_sessionfinish(self):
        # After the report was written, since that is registered later; before any conftest's, which may end
        # the process.
        if not self.interrupted and os.path.isfile(self.report):
            self.results.remove()


def pytest_configure(config):
    """Registers the plugin, but not in a worker of pytest-xdist."""
    report = config.getoption("xmlpath", None)
    if report and not hasattr(config, "workerinput") and not hasattr(config, "slaveinput"):
        config.pluginmanager.register(Plugin(report))


def keep(directory):
    """Has unittest-xml-reporting keep the results in this directory."""
    from xmlrunner import runner

    results = Results(directory)

    def names(test):
        # What stands behind a space tells a part of a test, or which class was not set up.
        path, space, part = test.id().partition(" ")
        path, _, name = path.rpartition(".")
        return path, name + space + part

    class Result(runner._XMLTestResult):
        began = 0.0

        def put(self, test, status, error=None, message=""):
            text = ""
            if error:
                message = "".join(format_exception_only(*error[:2])).strip()
                text = self._exc_info_to_string(error, test)
            seconds = time() - self.began if self.began else 0.0
            results.put(names(test), status, seconds, message, text)

        def startTest(self, test):
            self.began = time()
            results.put(names(test))
            super(Result, self).startTest(test)

        def stopTest(self, test):
            super(Result, self).stopTest(test)
            self.began = 0.0

        def addSuccess(self, test):
            super(Result, self).addSuccess(test)
            self.put(test, "passed")

        def addFailure(self, test, err):
            super(Result, self).addFailure(test, err)
            self.put(test, "failed", err)

        def addError(self, test, err):
            super(Result, self).addError(test, err)
            self.put(test, "error", err)

        def addSkip(self, test, reason):
            super(Result, self).addSkip(test, reason)
            self.put(test, "skipped", message=reason)

        def addExpectedFailure(self, test, err):
            super(Result, self).addExpectedFailure(test, err)
            self.put(test, "skipped", err)

        def addUnexpectedSuccess(self, test):
            super(Result, self).addUnexpectedSuccess(test)
            self.put(test, "error", message="unexpected success")

        def addSubTest(self, test, subtest, err):
            super(Result, self).addSubTest(test, subtest, err)
            if err:
                failed = issubclass(err[0], test.failureException)
                self.put(subtest, "failed" if failed else "error", err)

        def generate_reports(self, test_runner):
            super(Result, self).generate_reports(test_runner)
            results.remove()

    runner._XMLTestResult = Result


if __name__ == "__main__":
    from xmlrunner.runner import XMLTestProgram

    keep(sys.argv[2])
    XMLTestProgram(module=None)
