"""Runs commands in the unpacked source of a package, each bounded, and brings back what they wrote.

Usage: source.py INPUT RESULT, both JSON. INPUT: {"sdist", "wheel", "site", "modules", "commands",
"directories", "results"}. In arguments {source} stands for the source's directory and {work} for one
that commands may write to, with DIRECTORIES in it; {wheel} for the file that WHEEL names. What an
installation has and the source has not, such as compiled modules, is copied beside its sources, so
that the source can be imported. Runs on Python 2.7 and later.
"""

import json
import os
import shutil
import signal
import sys
import tempfile

KEPT = 12 << 20  # bytes of each result
GRACE = 20  # seconds that a command may take to end once it is told to


def complete(source, site, modules):
    """Copies what is installed beside its sources; returns what was copied."""
    copied = []
    for module in modules:
        installed = os.path.join(site, module)
        roots = [source, os.path.join(source, "src"), os.path.join(source, "lib")]
        root = next((root for root in roots if os.path.isdir(os.path.join(root, module))), None)
        if root is None or not os.path.isdir(installed):
            continue
        for directory, _, names in os.walk(installed):
            if os.path.basename(directory) == "__pycache__":
                continue
            for name in names:
                path = os.path.join(directory, name)
                beside = os.path.join(root, os.path.relpath(path, site))
                if os.path.lexists(beside):
                    continue
                if not os.path.isdir(os.path.dirname(beside)):
                    os.makedirs(os.path.dirname(beside))
                shutil.copy2(path, beside)
                copied.append(os.path.relpath(beside, source))
    return copied


def run(command, places, source):
    """How one command ended."""
    def put(text):
        for name, place in places.items():
            text = text.replace("{" + name + "}", place)
        return text

    argv = [put(word) for word in command["argv"]]
    env = dict(os.environ)
    env.update((str(name), put(value)) for name, value in command.get("env", {}).items())
    ended = {"exit": None, "signal": None, "timed_out": False}
    into = command.get("stdout")
    out = None
    if into:
        path = os.path.join(places["work"], into)
        if not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path))
        out = open(path, "wb")
    began = CLOCK()
    try:
        process = start(argv, stdout=out, env=env, cwd=put(command.get("cwd", source)))
    except (OSError, ValueError) as failure:
        return dict(ended, error=str(failure), seconds=0.0)
    finally:
        if out:
            out.close()
    status = ended_within(process, command["seconds"])
    if status is None:
        ended["timed_out"] = True
        # A test runner that is interrupted still writes its report.
        process.send_signal(signal.SIGINT)
        status = ended_within(process, GRACE)
    # What a command leaves behind is left to be noticed, unless its time is up.
    if ended["timed_out"]:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except OSError:
            pass
    if status is None:
        process.wait()
    elif status < 0:
        ended["signal"] = -status
    else:
        ended["exit"] = status
    ended["seconds"] = CLOCK() - began
    return ended


def results(work, names):
    """What the commands wrote: the text of each file, or of every file in a directory; with the names
    and sizes of those that are too long."""
    texts, too_long = {}, []
    for name in names:
        path = os.path.join(work, name)
        files = [path]
        if os.path.isdir(path):
            files = [os.path.join(path, file) for file in sorted(os.listdir(path))[:1000]]
        for file in files:
            try:
                with open(file, "rb") as content:
                    read = content.read(KEPT + 1)
                    size = os.fstat(content.fileno()).st_size
            except EnvironmentError:
                continue
            if len(read) > KEPT:
                too_long.append([os.path.relpath(file, work), size])
            else:
                texts[os.path.relpath(file, work)] = read.decode("utf-8", "replace")
    return texts, too_long


def main():
    """Prepares, runs, reports."""
    with open(sys.argv[1], "rb") as file:
        order = json.load(file)
    work = tempfile.mkdtemp(prefix="work-")
    for name in order.get("directories", []):
        os.makedirs(os.path.join(work, name))
    source, copied = work, []
    if order.get("sdist"):
        source = unpack(order["sdist"], os.path.expanduser("~/source"))
        copied = complete(source, os.path.expanduser(order["site"]), order.get("modules", []))
    places = {"source": source, "work": work, "wheel": order.get("wheel") or ""}
    report = {"source": source, "copied": copied, "commands": [], "results": {}, "too_long": []}
    for command in order["commands"]:
        report["commands"].append(run(command, places, source))
        report["results"], report["too_long"] = results(work, order.get("results", []))
        with open(sys.argv[2] + ".part", "w") as file:
            json.dump(report, file)
        os.rename(sys.argv[2] + ".part", sys.argv[2])


main()
