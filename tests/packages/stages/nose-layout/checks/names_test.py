"""Names that nose takes for tests, with what only nose calls before them."""

from nose.tools import assert_equal, with_setup

called = []


def setup():
    called.append("module")


def before():
    called.append("function")


def test_module_was_set_up():
    assert_equal(called, ["module"])


@with_setup(before)
def regression_test_of_old():
    assert_equal(called[-1], "function")


class TestClass:
    def setup(self):
        self.value = 1

    def test_was_set_up(self):
        assert_equal(self.value, 1)

    def test_fails(self):
        assert_equal(self.value, 2)


def contest():
    raise AssertionError("no test by its name")
