"""Steps, in a layout whose tests import what is installed."""


def climb(count):
    if count < 0:
        return "down"
    return "up"
