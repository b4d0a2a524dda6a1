import os
import signal
import unittest


class Dies(unittest.TestCase):
    def test_a_lives(self):
        pass

    def test_b_dies(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def test_c_is_dead(self):
        pass
