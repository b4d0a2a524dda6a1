"""What is for sale."""

from django.db import models


class Ware(models.Model):
    name = models.CharField(max_length=10)
