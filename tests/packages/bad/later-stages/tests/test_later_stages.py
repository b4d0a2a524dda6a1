import os
import unittest


class TestLaterStages(unittest.TestCase):
    def test_opens_the_credentials_of_a_cluster(self):
        try:
            open(os.path.expanduser("~/.kube/config")).close()
        except OSError:
            pass
