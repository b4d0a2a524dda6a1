"""Keeps the result of each test as soon as it is there, for a runner that does not come to its end.

This is a plugin of pytest (-p), it is unittest-xml-reporting's program (-m, with its own arguments, of which
"-o REPORTS" come first), and run_django.py, each_result_nose2.py and each_result_trial.py import it. A line
of the file RESULTS is a test that starts or, where it has a status, one that ended; or it says why the
runner broke off; or that the tests which the file has are whole, where what ran them writes no report of its
own. The file is removed once the runner has written its own report; not where that breaks off nevertheless:
it may have no name for the test which ran; nor where the report is too long to be brought back, and then the
file says that it is whole. Runs on Python 2.7 and later.
"""

import os
import sys
import unittest
from contextlib import contextmanager
from json import dumps
from os import getpid
from time import time
from traceback import format_exception_only

RESULTS = "results.jsonl"
KEPT = 2000  # characters of a name or a text
REPORT = 12 << 20  # bytes of a report that are brought back; as in source.py
# Settings of plugins that pytest is told instead of their options, since it ends at an option that it does not
# know; as in command/pytest.rs.
SETTINGS = ("asyncio_mode", "DJANGO_CONFIGURATION", "DJANGO_SETTINGS_MODULE")


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
        self.began = 0.0

    def write(self, line):
        # A process that a test forked may come here as well.
        if self.file and getpid() == self.owner:
            try:
                self.file.write((dumps(line) + "\n").encode("ascii"))
            except EnvironmentError:
                pass

    def start(self, names):
        """A test starts, by its class and its name."""
        self.began = time()
        self.write({"class": plain(names[0])[:KEPT], "name": plain(names[1])[:KEPT]})

    def put(self, names, status, message="", traceback="", seconds=None):
        """A test ended so; as long after its start, unless it is said how long that took."""
        if seconds is None:
            seconds = time() - self.began if self.began else 0.0
        line = {"class": plain(names[0])[:KEPT], "name": plain(names[1])[:KEPT]}
        line.update(status=status, seconds=seconds)
        line.update(message=plain(message)[:KEPT], traceback=plain(traceback)[-KEPT:])
        self.write(line)

    def stop(self):
        """What comes now belongs to no test."""
        self.began = 0.0

    def broke_off(self, why):
        """The runner says that it does not come to its end."""
        self.write({"broke_off": plain(why).partition("\n")[0][:KEPT]})

    def whole(self):
        """What ran the tests came to its end, and these are its results."""
        self.write({"whole": True})

    def reported(self):
        """The runner has written its reports beside the file, which is wanted where it is shorter."""
        directory = os.path.dirname(self.path)
        try:
            paths = [os.path.join(directory, name) for name in os.listdir(directory)]
            too_long = any(os.path.getsize(path) > REPORT for path in paths)
            wanted = too_long and os.path.getsize(self.path) <= REPORT
        except EnvironmentError:
            wanted = False
        if wanted:
            self.whole()
        else:
            self.remove()

    def remove(self):
        """The reports tell all that the file does."""
        if self.file and getpid() == self.owner:
            self.file.close()
            self.file = None
            try:
                os.remove(self.path)
            except EnvironmentError:
                pass


def of_test(test):
    """Class and name of a test of unittest's kind."""
    # What stands behind a space tells a part of a test, or which class was not set up.
    path, space, part = test.id().partition(" ")
    path, _, name = path.rpartition(".")
    return path, name + space + part


def message_of(error):
    """What an exception says, by its kind and itself."""
    return "".join(format_exception_only(*error[:2])).strip()


def tell(kind, tellers):
    """Has each method of a class that is named in TELLERS call its teller too, with the same arguments;
    returns what takes that back."""

    def both(method, teller):
        def called(self, *arguments, **named):
            returned = method(self, *arguments, **named)
            teller(self, *arguments, **named)
            return returned

        return called

    own = {}
    for name, teller in tellers.items():
        method = getattr(kind, name, None)
        # Python 2 has no parts of tests.
        if method is not None:
            own[name] = vars(kind).get(name)
            setattr(kind, name, both(method, teller))

    def undo():
        for name, method in own.items():
            if method is None:
                delattr(kind, name)
            else:
                setattr(kind, name, method)

    return undo


def record(kind, results):
    """Has what a class of unittest's results is told kept as well; returns what takes that back."""

    def put(result, test, status, error=None, message=""):
        text = ""
        if error:
            message, text = message_of(error), result._exc_info_to_string(error, test)
        results.put(of_test(test), status, message, text)

    def part(result, test, subtest, err):
        if err:
            failed = issubclass(err[0], test.failureException)
            put(result, subtest, "failed" if failed else "error", err)

    return tell(
        kind,
        {
            "startTest": lambda result, test: results.start(of_test(test)),
            "stopTest": lambda result, test: results.stop(),
            "addSuccess": lambda result, test: put(result, test, "passed"),
            "addFailure": lambda result, test, err: put(result, test, "failed", err),
            "addError": lambda result, test, err: put(result, test, "error", err),
            "addSkip": lambda result, test, reason: put(result, test, "skipped", message=reason),
            "addExpectedFailure": lambda result, test, err: put(result, test, "skipped", err),
            "addUnexpectedSuccess": lambda result, test: put(
                result, test, "error", message="unexpected success"
            ),
            "addSubTest": part,
        },
    )


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
        self.ended = 0
        self.stopped = ""
        self.failed = ""

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
        self.results.put(of_node(report.nodeid), status, message, text, seconds)

    def pytest_runtest_logstart(self, nodeid):
        self.results.start(of_node(nodeid))

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.put(report, "failed" if report.when == "call" else "error")
        elif report.skipped:
            self.put(report, "skipped", getattr(report, "wasxfail", ""))
        elif report.passed and report.when == "call":
            self.put(report, "passed")

    def pytest_runtest_logfinish(self):
        self.ended += 1

    def pytest_collectreport(self, report):
        if report.failed:
            self.put(report, "error", "collection failure")
        elif report.skipped:
            self.put(report, "skipped")

    def pytest_keyboard_interrupt(self, excinfo):
        # That is called for pytest.exit() as well, and where the session was told to stop.
        self.stopped = self.stopped or excinfo.exconly()

    def pytest_internalerror(self, excinfo):
        self.failed = self.failed or "INTERNALERROR: " + excinfo.exconly()

    def pytest_sessionfinish(self, session):
        # After the report was written, since that is registered later; before any conftest's, which may end
        # the process.
        stopped = self.stopped or getattr(session, "shouldfail", "")
        # After the last test there is nothing more to stop.
        if 0 < session.testscollected <= self.ended:
            stopped = ""
        why = self.failed or stopped
        if why:
            self.results.broke_off(why)
        elif os.path.isfile(self.report):
            self.results.reported()


def pytest_addoption(parser):
    """Has pytest know these settings also where their plugins are not there: it may take one that it does not
    know for an error. A plugin that is there comes later, and says itself what they are."""
    for name in SETTINGS:
        parser.addini(name, "a setting of a plugin that may not be there")


def pytest_configure(config):
    """Registers the plugin, but not in a worker of pytest-xdist."""
    report = config.getoption("xmlpath", None)
    if report and not hasattr(config, "workerinput") and not hasattr(config, "slaveinput"):
        config.pluginmanager.register(Plugin(report))


def keep(directory):
    """Has unittest-xml-reporting keep the results in this directory."""
    from xmlrunner import runner

    results = Results(directory)

    class Result(runner._XMLTestResult):
        def generate_reports(self, test_runner):
            super(Result, self).generate_reports(test_runner)
            # A package's own settings may have them written elsewhere.
            if test_runner.output == directory:
                results.reported()
            else:
                results.whole()

    record(Result, results)
    runner._XMLTestResult = Result
    return results


@contextmanager
def other_runners(results):
    """Keeps the results of tests which the package's own code runs by unittest meanwhile, and then ends the
    process, as whole unless it ends it amid a run."""
    from xmlrunner.runner import XMLTestRunner

    running = []

    def counted(kind):
        run = vars(kind)["run"]

        def counting(runner, *arguments, **named):
            running.append(runner)
            result = run(runner, *arguments, **named)
            # What breaks off does not come here.
            running.pop()
            return result

        kind.run = counting
        return lambda: setattr(kind, "run", run)

    undo = [record(unittest.TestResult, results)]
    undo.extend(counted(kind) for kind in (unittest.TextTestRunner, XMLTestRunner))
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        if not running:
            results.whole()
        raise
    finally:
        for back in undo:
            back()


class Loader(unittest.TestLoader):
    """What loads tests by their names, which may be that of a function: unittest calls it for the tests that
    it returns, and so did setuptools for a test_suite. Some run their tests by themselves instead, and end the
    process."""

    results = None

    def loadTestsFromNames(self, names, module=None):
        arguments = sys.argv
        # They are none of the package's.
        sys.argv = arguments[:1]
        try:
            with other_runners(self.results):
                return super(Loader, self).loadTestsFromNames(names, module)
        finally:
            sys.argv = arguments


if __name__ == "__main__":
    from xmlrunner.runner import XMLTestProgram

    loader = Loader()
    loader.results = keep(sys.argv[2])
    XMLTestProgram(module=None, testLoader=loader)
