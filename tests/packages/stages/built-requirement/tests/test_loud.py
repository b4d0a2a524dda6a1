import docopt
import loud


def test_its_usage_is_understood():
    assert docopt.docopt(loud.USAGE, ["--very"]) == {"--very": True}
