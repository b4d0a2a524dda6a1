import os
import time


def test_nothing_of_the_import_is_here():
    # The other machine may be the slower one.
    time.sleep(5)
    assert not os.path.exists(os.path.expanduser("~/left-by-import"))


def test_an_extra_of_its_own_is_there():
    import sortedcontainers

    assert list(sortedcontainers.SortedList([2, 1])) == [1, 2]


def test_groups_that_it_includes_are_there():
    import decorator

    assert decorator.decorate
