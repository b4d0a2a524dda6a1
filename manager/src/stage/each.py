"""Runs commands one after the other, each bounded, and writes how each of them ended.

Usage: each.py COMMANDS RESULT, both JSON. The commands run in sessions of their own, without a
terminal, in an empty directory.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

KEPT = 16384  # bytes of each output


def text(file):
    """The beginning of an output, and whether it was longer."""
    file.seek(0)
    data = file.read(KEPT + 1)
    return data[:KEPT].decode("utf-8", "backslashreplace"), len(data) > KEPT


def run(command):
    """How one command ended."""
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryFile() as out, \
            tempfile.TemporaryFile() as error:
        answer = os.path.join(directory, "answer")
        argv = [answer if word == "{answer}" else word for word in command["argv"]]
        ended = {"name": command["name"], "exit": None, "signal": None, "timed_out": False}
        began = time.monotonic()
        try:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=error,
                                       cwd=directory, start_new_session=True)
        except (OSError, ValueError) as failure:
            ended.update(error=str(failure), seconds=0.0, stdout="", stderr="", cut=False)
            return ended
        try:
            status = process.wait(command["seconds"])
        except subprocess.TimeoutExpired:
            ended["timed_out"] = True
            status = None
        # What a command leaves behind is left to be noticed, unless its time is up.
        if status is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        elif status < 0:
            ended["signal"] = -status
        else:
            ended["exit"] = status
        ended["seconds"] = time.monotonic() - began
        ended["stdout"], cut_out = text(out)
        ended["stderr"], cut_error = text(error)
        ended["cut"] = cut_out or cut_error
        try:
            with open(answer, encoding="utf-8") as file:
                ended["answer"] = json.loads(file.read(1 << 20))
        except (OSError, ValueError):
            pass
        return ended


def main():
    """Runs all; the result is whole after each command, should the next one be the last."""
    with open(sys.argv[1], encoding="utf-8") as file:
        commands = json.load(file)
    results = []
    for command in commands:
        results.append(run(command))
        with open(sys.argv[2] + ".part", "w", encoding="utf-8") as file:
            json.dump(results, file)
        os.replace(sys.argv[2] + ".part", sys.argv[2])


main()
