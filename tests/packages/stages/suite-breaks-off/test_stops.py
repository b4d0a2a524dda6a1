import os

from twisted.internet import defer
from twisted.trial import unittest


class Stops(unittest.TestCase):
    def test_a_fails(self):
        return defer.fail(ValueError("no"))

    def test_b_stops(self):
        os._exit(0)

    def test_c_is_forgotten(self):
        pass
