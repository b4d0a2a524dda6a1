import unittest

from two_to_three import greeting


class Greeting(unittest.TestCase):
    def test_it_is_unicode(self):
        self.assertEqual(greeting("x"), u"hello, x")

    def test_it_divides_as_it_did(self):
        self.assertEqual(3 / 2, 1)

    def test_it_fails(self):
        self.fail("no %s" % greeting(u"y"))
