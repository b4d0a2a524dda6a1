import time
import unittest


class Waits(unittest.TestCase):
    def test_ends(self):
        pass

    def test_sleeps(self):
        time.sleep(3600)

    def test_wakes(self):
        pass
