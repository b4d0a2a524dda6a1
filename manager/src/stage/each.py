"""Runs commands one after the other, each bounded, and writes how each of them ended.

Usage: each.py COMMANDS RESULT, both JSON. The commands run in sessions of their own, without a
terminal, in an empty directory. {answer} in arguments stands for a file that may take a list of texts,
as JSON. Runs on Python 2.7 and later.
"""

import json
import os
import re
import shutil
import signal
import sys
import tempfile

KEPT = 16384  # bytes of each output
ANSWER = 1 << 20  # bytes of each answer
TEXT = type(u"")
# The host reads no text with half a character in it.
HALF = re.compile(u"[\ud800-\udfff]")
# How bytes that are no text are shown; the decoder of Python 2 has no other way.
UNREADABLE = "replace" if sys.version_info[0] == 2 else "backslashreplace"


def text(file):
    """The beginning of an output, and whether it was longer."""
    file.seek(0)
    data = file.read(KEPT + 1)
    return data[:KEPT].decode("utf-8", UNREADABLE), len(data) > KEPT


def answered(path):
    """The list of texts in a file; None where it is something else, whatever the package made of it."""
    # A pipe would never be read.
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            answer = json.loads(file.read(ANSWER).decode("utf-8"))
    # What is nested too deeply is a RuntimeError.
    except (EnvironmentError, ValueError, RuntimeError):
        return None
    if not isinstance(answer, list):
        return None
    if any(not isinstance(item, TEXT) or HALF.search(item) for item in answer):
        return None
    return answer


def run(command):
    """How one command ended."""
    directory = tempfile.mkdtemp()
    try:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
            return run_in(directory, command, out, error)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def run_in(directory, command, out, error):
    """How one command ended there."""
    answer = os.path.join(directory, "answer")
    argv = [answer if word == "{answer}" else word for word in command["argv"]]
    ended = {"name": command["name"], "exit": None, "signal": None, "timed_out": False}
    began = CLOCK()
    try:
        process = start(argv, stdout=out, stderr=error, cwd=directory)
    except (OSError, ValueError) as failure:
        ended.update(error=str(failure), seconds=0.0, stdout="", stderr="", cut=False)
        return ended
    status = ended_within(process, command["seconds"])
    # What a command leaves behind is left to be noticed, unless its time is up.
    if status is None:
        ended["timed_out"] = True
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    elif status < 0:
        ended["signal"] = -status
    else:
        ended["exit"] = status
    ended["seconds"] = CLOCK() - began
    ended["stdout"], cut_out = text(out)
    ended["stderr"], cut_error = text(error)
    ended["cut"] = cut_out or cut_error
    if "{answer}" in command["argv"]:
        ended["answer"] = answered(answer)
    return ended


def main():
    """Runs all; the result is whole after each command, should the next one be the last."""
    with open(sys.argv[1], "rb") as file:
        commands = json.load(file)
    results = []
    for command in commands:
        results.append(run(command))
        with open(sys.argv[2] + ".part", "w") as file:
            json.dump(results, file)
        os.rename(sys.argv[2] + ".part", sys.argv[2])


main()
