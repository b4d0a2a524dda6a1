import os

from rooms import doors


def test_what_lies_beside_it_is_there():
    # The directory is called like the package, which is installed.
    assert doors("rooms/doors.txt") == ["front", "back"]


def test_it_runs_where_tox_says():
    assert os.path.basename(os.getcwd()) == "checks"
