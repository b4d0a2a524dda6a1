"""Halves.

>>> half(4)
2
"""


def half(number):
    """Half of it.

    >>> half(3)
    2
    """
    return number // 2
