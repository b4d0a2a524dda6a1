"""Words that only Python 2 reads."""
import ConfigParser

SETTINGS = ConfigParser.RawConfigParser()


def greeting(name):
    try:
        return u"hello, %s" % unicode(name)
    except UnicodeError, error:
        print "cannot greet", `error`
        raise
