import pytest


def test_a_passes():
    pass


def test_b_exits():
    pytest.exit("enough", returncode=0)


def test_c_is_never_reached():
    pass
