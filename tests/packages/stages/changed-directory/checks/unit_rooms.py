import sys
import unittest

from rooms import doors


class Rooms(unittest.TestCase):
    def test_the_interpreter_has_its_options(self):
        self.assertTrue(sys.flags.dev_mode)
        self.assertEqual(sys.flags.bytes_warning, 1)
        self.assertEqual(sys.warnoptions.count("error"), 0)

    def test_nothing_is_behind_the_door(self):
        self.assertEqual(doors("rooms/doors.txt"), [])
