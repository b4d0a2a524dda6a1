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


if __name__ == "__main__":
    import doctest

    doctest.testmod()
