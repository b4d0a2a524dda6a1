import hides
import pytest


def test_never_runs():
    with pytest.raises(AttributeError):
        print(hides.Y)
