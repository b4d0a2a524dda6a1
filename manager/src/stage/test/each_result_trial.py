"""Runs Twisted's trial, with the result of each test kept as soon as it is there, beside its subunit reporter's
stream.

Usage: python -m each_result_trial REPORTS [ARGUMENT...], where these are trial's own. Runs on Python 2.7 and
later.
"""

import sys
from traceback import format_exception

from each_result import Results, message_of, of_test, tell
from twisted.scripts import trial
from twisted.trial import reporter, util


def keep(directory):
    """Has the subunit reporter keep the results in this directory."""
    results = Results(directory)
    stopped = []

    class Reporter(reporter.SubunitReporter):
        pass

    def put(test, status, error=None, message=""):
        text = ""
        if error:
            error = util.excInfoOrFailureToExcInfo(error)
            message, text = message_of(error), "".join(format_exception(*error))
        results.put(of_test(test), status, message, text)

    def stop(_):
        # It still comes to its end, without the tests that are left.
        stopped.append(True)
        results.broke_off("it was told to stop")

    def done(_):
        if not stopped:
            results.reported()

    # As subunit has them. An unexpected success comes as any other.
    tellers = {
        "startTest": lambda _, test: results.start(of_test(test)),
        "stopTest": lambda _, test: results.stop(),
        "addSuccess": lambda _, test: put(test, "passed"),
        "addFailure": lambda _, test, err: put(test, "failed", err),
        "addError": lambda _, test, err: put(test, "error", err),
        "addSkip": lambda _, test, reason: put(test, "skipped", message=reason),
        "addExpectedFailure": lambda _, test, failure, todo=None: put(test, "passed"),
        "stop": stop,
        "done": done,
    }
    tell(Reporter, tellers)
    reporter.SubunitReporter = Reporter


if __name__ == "__main__":
    keep(sys.argv.pop(1))
    trial.run()
