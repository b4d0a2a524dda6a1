"""Keeps the result of each test of nose2 as soon as it is there, beside its plugin's report: a plugin of nose2
(--plugin) too. Runs on Python 2.7 and later.
"""

import os

from each_result import Results, message_of, of_test
from nose2 import events, result, util


def status_of(event):
    """How a test ended, as nose2's own report has it; None of a part of a test that passed."""
    if event.outcome == result.SUBTEST:
        if not event.exc_info:
            return None
        failed = issubclass(event.exc_info[0], event.test.failureException)
        return "failed" if failed else "error"
    if event.outcome == result.ERROR:
        return "error"
    if event.outcome == result.SKIP:
        return "skipped"
    if event.outcome == result.FAIL:
        return "skipped" if event.expected else "failed"
    return "passed" if event.expected else "skipped"


class EachResult(events.Plugin):
    """What nose2 tells."""

    alwaysOn = True
    results = None

    def handleArgs(self, event):
        # That of the other plugin's report.
        self.results = Results(os.path.dirname(event.args.path))

    def startTest(self, event):
        self.results.start(of_test(event.test))

    def testOutcome(self, event):
        status = status_of(event)
        if not status:
            return
        message, text = event.reason or "", ""
        if event.exc_info:
            message = message_of(event.exc_info)
            text = util.exc_info_to_string(event.exc_info, event.test)
        elif status == "skipped" and event.outcome == result.PASS:
            message = "test passes unexpectedly"
        self.results.put(of_test(event.test), status, message, text)

    def stopTest(self, event):
        self.results.stop()

    def runnerCreated(self, event):
        run = event.runner.run

        def whole(test):
            ran = run(test)
            # What breaks off does not come here, and has a report nevertheless.
            self.results.reported()
            return ran

        event.runner.run = whole
