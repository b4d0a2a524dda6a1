def test_a_is_inside():
    pass


def test_b_breaks():
    pass


def test_c_is_left():
    pass
