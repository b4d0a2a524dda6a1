import winter


def test_it_is_cold():
    assert winter.DEGREES < 0


def test_there_is_frost():
    import frost

    assert frost.DEGREES == winter.DEGREES
