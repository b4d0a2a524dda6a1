"""Runs commands in the unpacked source of a package, each bounded, and brings back what they wrote.

Usage: source.py INPUT RESULT, both JSON. INPUT: {"sdist", "wheel", "site", "modules", "imports",
"converted", "commands", "directories", "results"}. In arguments {source} stands for the source's
directory and {work} for one that commands may write to, with DIRECTORIES in it; {wheel} for the file that
WHEEL names. A command runs in its "cwd", which is made where it is not there, else in the source's
directory. One that "shares" has what is left of the time of the one before it, and is not started where
nothing is. What an installation has of IMPORTS and the source has not, such as compiled modules, is copied
beside its sources, so that the source can be imported. Runs on Python 2.7 and later.
"""

import filecmp
import json
import os
import shutil
import signal
import sys
import tempfile

KEPT = 12 << 20  # bytes of each result
KEEPS = "results.jsonl"  # what each_result.py writes
# Bytes of all results in the report, where JSON may make six of one; the host reads no more than 40 MiB
# of it, and the names are not counted here.
ROOM = 32 << 20
CONVERTING = 40  # seconds
FILES = 1000  # of each directory, whatever they are
GRACE = 20  # seconds that a command may take to end once it is told to


def installed_files(module, is_package):
    """The directories of a package with their files; those of a module alone, compiled or not."""
    if is_package:
        for directory, _, names in os.walk(module):
            if os.path.basename(directory) != "__pycache__":
                yield directory, names
        return
    directory, own = os.path.split(module)
    if os.path.isdir(directory):
        yield directory, [name for name in os.listdir(directory) if name.split(".")[0] == own]


def complete(source, site, modules, converted):
    """Copies what is installed of MODULES beside its sources, and in their place where it is CONVERTED and
    differs; returns how many files that were, and how many of them took the place of another."""
    copied = replaced = 0
    for module in modules:
        # One in a namespace package, which holds other packages too, has its dots.
        below = os.path.join(*module.split("."))
        installed = os.path.join(site, below)
        roots = [source, os.path.join(source, "src"), os.path.join(source, "lib")]
        is_package = os.path.isdir(installed)
        if not is_package and "." not in module:
            continue
        # A module alone in a namespace package belongs into the source's part of that.
        wanted = below if is_package else os.path.dirname(below)
        root = next((root for root in roots if os.path.isdir(os.path.join(root, wanted))), None)
        if root is None:
            continue
        for directory, names in installed_files(installed, is_package):
            for name in names:
                path = os.path.join(directory, name)
                beside = os.path.join(root, os.path.relpath(path, site))
                if os.path.lexists(beside):
                    plain = os.path.isfile(beside) and not os.path.islink(beside)
                    if not (converted and plain and name.endswith(".py")):
                        continue
                    if filecmp.cmp(path, beside, shallow=False):
                        continue
                    replaced += 1
                if not os.path.isdir(os.path.dirname(beside)):
                    os.makedirs(os.path.dirname(beside))
                shutil.copy2(path, beside)
                copied += 1
    return copied, replaced


def convert(source, modules):
    """Makes Python 3 of the sources that were not installed, such as tests that lie beside the package, as
    setuptools' own command for tests did; as many as there is time for."""
    files = []
    for directory, below, names in os.walk(source):
        below[:] = [name for name in below if name not in modules]
        files += [os.path.join(directory, name) for name in names if name.endswith(".py")]
    until = CLOCK() + CONVERTING
    while files and CLOCK() < until:
        some, files = files[:50], files[50:]
        argv = [sys.executable, "-m", "lib2to3", "-w", "-n", "--no-diffs"] + some
        run({"argv": argv, "seconds": until - CLOCK()}, {}, source)
    if files:
        sys.stderr.write("%d files were not made Python 3\n" % len(files))


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
    # Those before it have taken all.
    if command["seconds"] <= 0:
        return dict(ended, timed_out=True, seconds=0.0)
    into = command.get("stdout")
    out = None
    if into:
        path = os.path.join(places["work"], into)
        if not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path))
        out = open(path, "wb")
    began = CLOCK()
    try:
        cwd = put(command["cwd"]) if "cwd" in command else source
        if not os.path.isdir(cwd):
            os.makedirs(cwd)
        process = start(argv, stdout=out, env=env, cwd=cwd)
    except (OSError, ValueError, TypeError) as failure:
        return dict(ended, error=str(failure), seconds=0.0)
    finally:
        if out:
            out.close()
    status = ended_within(process, command["seconds"])
    if status is None:
        ended["timed_out"] = True
        # A test runner that is interrupted still writes its report, and coverage.py its data.
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


def is_text(name):
    """Whether the name of a file can stand in the report."""
    try:
        name.encode("utf-8")
    except UnicodeError:
        return False
    return True


def fitting(content, room):
    """The text of a result, with the bytes that it takes in the report: no text where those are more
    than there is room for."""
    if len(content) > KEPT:
        return None, 0
    text = content.decode("utf-8", "replace")
    # Each character takes at least one; how many it takes is known when it is written.
    taken = len(text) if len(text) > room else len(json.dumps(text))
    return (text, taken) if taken <= room else (None, 0)


def results(work, names):
    """What the commands wrote: the text of each file, or of every file in a directory, where there is
    room for it; the names and sizes of those that are too long for that; and how many files of
    directories were left out."""
    texts, too_long, left_out, room = {}, [], 0, ROOM
    for name in names:
        files = [name]
        if os.path.isdir(os.path.join(work, name)):
            every = os.listdir(os.path.join(work, name))
            # What tells that a runner did not end comes first, whatever is put beside it.
            files = sorted((file for file in every if is_text(file)), key=lambda file: (file != KEEPS, file))[:FILES]
            left_out += len(every) - len(files)
            files = [os.path.join(name, file) for file in files]
        for file in files:
            path = os.path.join(work, file)
            # A pipe would never be read.
            if not os.path.isfile(path):
                continue
            try:
                with open(path, "rb") as content:
                    read = content.read(KEPT + 1)
                    size = os.fstat(content.fileno()).st_size
            except EnvironmentError:
                continue
            text, taken = fitting(read, room)
            if text is None:
                too_long.append([file, size])
            else:
                texts[file] = text
                room -= taken
    return texts, too_long, left_out


def main():
    """Prepares, runs, reports."""
    with open(sys.argv[1], "rb") as file:
        order = json.load(file)
    work = tempfile.mkdtemp(prefix="work-")
    for name in order.get("directories", []):
        os.makedirs(os.path.join(work, name))
    source, copied = work, 0
    if order.get("sdist"):
        source = unpack(order["sdist"], os.path.expanduser("~/source"))
        modules, converted = order.get("modules", []), order.get("converted", False)
        site = os.path.expanduser(order["site"])
        copied, replaced = complete(source, site, order.get("imports", []), converted)
        if replaced:
            convert(source, modules)
    places = {"source": source, "work": work, "wheel": order.get("wheel") or ""}
    report = {"source": source if is_text(source) else "", "copied": copied, "commands": []}
    left = None
    for command in order["commands"]:
        if command.get("shares"):
            command["seconds"] = left
        ended = run(command, places, source)
        left = command["seconds"] - ended["seconds"]
        report["commands"].append(ended)
        found = results(work, order.get("results", []))
        report["results"], report["too_long"], report["left_out"] = found
        with open(sys.argv[2] + ".part", "w") as file:
            json.dump(report, file)
        os.rename(sys.argv[2] + ".part", sys.argv[2])


main()
