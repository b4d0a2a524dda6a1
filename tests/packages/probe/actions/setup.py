"""Does every action that the probes record, once, in a directory of its own."""
import fcntl
import mmap
import os
import socket
import subprocess

base = "/tmp/actions"
os.mkdir(base, 0o750)
os.chdir(base)


def attempt(action, *arguments):
    """Some actions must fail: the failure is what is recorded."""
    try:
        return action(*arguments)
    except OSError:
        return None


def touch(name, content=b"content"):
    with open(name, "wb", buffering=0) as file:
        file.write(content)


touch("written", b"first bytes")
attempt(open, "absent")
attempt(open, "/etc/shadow")
touch("old")
os.rename("old", "new")
touch("doomed")
os.unlink("doomed")
os.symlink("written", "soft")
os.link("written", "hard")
os.chmod("written", 0o711)
open("soft").close()
touch("caf\udce9 \n", b"")

# What fails before the kernel has resolved anything.
attempt(os.unlink, "absent-file")
attempt(os.rename, "absent-old", "absent-new")
attempt(os.mkdir, "/tmp/actions", 0o700)
attempt(os.rmdir, "absent-directory")
attempt(os.symlink, "text", "soft")
attempt(os.link, "absent-link", "elsewhere")

# Files of the image, which the overlay file system copies first.
home = os.path.expanduser("~")
os.chmod(home + "/.bashrc", 0o600)
os.rename(home + "/.gitconfig", home + "/.gitconfig.old")
with open(home + "/.profile", "ab", buffering=0) as file:
    file.write(b"appended")

# Mappings: a file of the package's own to execute, memory to write and execute, a file to write.
with open("mapped", "w+b") as file:
    file.truncate(4096)
    mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()
    mmap.mmap(file.fileno(), 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE).close()
mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
          mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()

subprocess.call(["/bin/true", "one", "two words"], cwd="/usr", env={"MARK": "planted"})
attempt(os.execv, "/tmp/actions/absent-program", ["absent-program", "with an argument"])
attempt(os.execv, "/tmp/actions/written", ["written", "so"])
# Words beyond what is kept, and exactly as many, of programs that run and of some that cannot.
many = ["m"] * 2000
large = {"E": "e" * 5000}
subprocess.call(["/bin/true"] + many, env=large)
attempt(os.execve, "/tmp/actions/absent-many", many, large)
attempt(os.execve, "/tmp/actions/written", many, large)
attempt(os.execve, "/tmp/actions/absent-whole", ["w" * 4095], {"E": "", "F": "f" * 4090})
attempt(os.execve, "/tmp/actions/absent-longer", ["w" * 5000], {"E": "", "F": "f" * 5000})
attempt(os.execve, "/tmp/actions/absent-alone", ["alone"], {})
with open("script", "w") as file:
    file.write("#!/bin/sh\nexit 3\n")
os.chmod("script", 0o755)
subprocess.call(["./script"])

# All capabilities, in a user namespace of its own, until a program is executed.
if os.fork() == 0:
    try:
        os.unshare(os.CLONE_NEWUSER)
        os.execv("/bin/true", ["true", "without capabilities"])
    finally:
        os._exit(1)
os.wait()

stream = socket.socket()
stream.bind(("127.0.0.1", 0))
stream.listen()
attempt(socket.create_connection, stream.getsockname())
attempt(socket.create_connection, ("192.0.2.7", 4444), 2)
v6 = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
attempt(v6.connect, ("::ffff:192.0.2.8", 4445))
datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
attempt(datagram.sendto, b"question", ("127.0.0.1", 5353))
# A socket becomes standard input without dup2.
kept = os.dup(0)
os.close(0)
fcntl.fcntl(stream.fileno(), fcntl.F_DUPFD, 0)
os.dup2(kept, 0)
os.close(kept)
unix = socket.socket(socket.AF_UNIX)
attempt(unix.connect, "/tmp/actions/absent.sock")
unix.bind("/tmp/actions/present.sock")

from setuptools import setup  # noqa: E402

os.chdir(os.path.dirname(os.path.abspath(__file__)))
setup(name="pyti-fixture-actions", version="1.0", py_modules=["actions"])
