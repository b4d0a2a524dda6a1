"""Does what a reader wants to see the line of, each from another kind of place in Python code."""
import importlib.machinery
import importlib.util
import os
import socket
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

HERE = os.path.dirname(os.path.abspath(__file__))
HOME = os.path.expanduser("~")
PIPE = "/tmp/stacks.pipe"


def steal():
    return Path(HOME, ".ssh", "id_rsa").read_text()  # by way of the standard library: steal


class Thief:
    def take(self):
        with open(HOME + "/.aws/credentials") as file:  # in a method: Thief.take
            return file.read()


def call_home():
    stream = socket.socket()
    stream.settimeout(1)
    try:
        stream.connect(("192.0.2.9", 443))  # a connection: call_home
    except OSError:
        pass
    stream.close()


def run():
    # Started by vfork: the child has no interpreter of its own yet.
    subprocess.call(["/bin/true", "ran"])  # a program: run


def by_shell():
    os.system("cat /etc/hostname > /dev/null")  # by system(): by_shell


def in_a_thread():
    open(HOME + "/.kube/config").close()  # in another thread: in_a_thread


def in_a_child():
    if os.fork() == 0:
        open(HOME + "/.netrc").close()  # in a forked child: in_a_child
        os._exit(0)
    os.wait()


def far_away():
    """A function whose table of lines is long, with what takes its other forms."""
    total = 0
    for number in range(3):
        total += (
            number
            * 2
        )
        if total > 100:
            total = [
                value
                for value in range(total)
                if value % 2
            ][0]




























































































































    # Far below: the step between two lines takes more than one byte of the table.
    open(HOME + "/.npmrc").close()  # after a long step: far_away
    return total


def deep(levels):
    if levels:
        deep(levels - 1)  # more frames than are kept: deep
    else:
        open(HOME + "/.pypirc").close()  # the innermost one: deep


def persist():
    with open(HOME + "/.bashrc", "a") as file:  # written when it is closed: persist
        file.write("# added\n")


def serve():
    server = socket.socket()  # a socket: serve
    server.bind(("127.0.0.1", 0))  # its address: serve
    server.listen()
    client = socket.create_connection(server.getsockname())
    server.accept()  # a connection from there: serve
    client.close()
    server.close()


def make_pipe():
    if os.path.exists(PIPE):
        os.unlink(PIPE)
    os.mkfifo(PIPE)  # made without being opened: make_pipe


def in_a_namespace():
    if os.fork() == 0:
        try:
            os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNS)  # all capabilities: in_a_namespace
            mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY)
            os.setns(mounts, os.CLONE_NEWNS)  # the same again: in_a_namespace
        finally:
            os._exit(0)
    os.wait()


def in_made_code():
    """Code objects made one after the other: each lies where the one before lay."""
    for number in range(8):
        source = "\n" * number + f"open('/tmp/made.{number}', 'w').close()"
        exec(compile(source, f"<made {number}>", "exec"))


def in_another_interpreter():
    import _interpreters

    other = _interpreters.create()
    _interpreters.run_string(other, "\nopen('/tmp/inside', 'w').close()")
    _interpreters.destroy(other)
    open("/tmp/outside", "w").close()  # in this one again: in_another_interpreter


def in_the_older():
    open("/tmp/older", "w").close()  # while there is a newer one: in_the_older


def in_states():
    """The thread's state changes, and what one is made of was another one's before."""
    path = "/tmp/stacks.so"
    include = "-I" + sysconfig.get_paths()["include"]
    source = os.path.join(HERE, "stacks.c")
    if not os.path.exists(path):
        subprocess.check_call(["gcc", "-shared", "-fPIC", include, "-o", path, source])
    loader = importlib.machinery.ExtensionFileLoader("stacks", path)
    stacks = importlib.util.module_from_spec(importlib.util.spec_from_loader("stacks", loader))
    stacks.in_the_older(in_the_older)
    for number in range(3):
        stacks.in_a_state(number)
        open(f"/tmp/before.{number}", "w").close()  # by its own state again: in_states


in_another_interpreter()
in_made_code()
in_states()
steal()
persist()
serve()
make_pipe()
in_a_namespace()
Thief().take()
call_home()
run()
by_shell()
thread = threading.Thread(target=in_a_thread)
thread.start()
thread.join()
in_a_child()
far_away()
deep(20)
(lambda: open(HOME + "/.gitconfig").close())()  # in a lambda: <lambda>
sys.path.insert(0, HERE)
import стащить  # noqa: E402  a module whose name is not ASCII

стащить.стащить()

from setuptools import Extension, setup  # noqa: E402

setup(
    name="pyti-fixture-stacks",
    version="1.0",
    py_modules=["стащить"],
    ext_modules=[Extension("stacks", ["stacks.c"])],
)
