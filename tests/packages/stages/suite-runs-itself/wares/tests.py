from django.test import SimpleTestCase

from wares import price


class Prices(SimpleTestCase):
    def test_three_cost_nine(self):
        self.assertEqual(price(3), 9)

    def test_two_cost_nothing(self):
        self.assertEqual(price(2), 0)
