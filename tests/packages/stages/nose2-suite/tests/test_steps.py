import unittest

from steps import climb


class Steps(unittest.TestCase):
    def test_up(self):
        self.assertEqual(climb(1), "up")

    def test_fails(self):
        self.assertEqual(climb(1), "<down>")
