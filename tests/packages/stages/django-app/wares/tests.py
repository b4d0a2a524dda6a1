from django.test import TestCase

from wares.models import Ware


class Wares(TestCase):
    def test_one_is_kept(self):
        Ware.objects.create(name="x")
        self.assertEqual(Ware.objects.count(), 1)

    def test_none_is_there(self):
        self.assertEqual(Ware.objects.count(), 1)
