"""What trial looks after and other runners do not: the reactor."""

from twisted.internet import defer, reactor, task
from twisted.trial import unittest


class Ticks(unittest.TestCase):
    def test_waits(self):
        return task.deferLater(reactor, 0, lambda: print("ticked"))

    def test_leaves_a_call_behind(self):
        reactor.callLater(100, print)

    def test_fails(self):
        return defer.fail(ValueError("no tick"))

    def test_wants_a_server(self):
        from twisted.internet import endpoints, protocol

        server = endpoints.clientFromString(reactor, "tcp:127.0.0.1:9")
        return server.connect(protocol.Factory.forProtocol(protocol.Protocol))

    def test_later(self):
        self.fail("not yet")

    test_later.todo = "to be done"

    def test_skips(self):
        raise unittest.SkipTest("not here")
