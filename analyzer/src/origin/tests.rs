use super::frames::of_file;
use super::*;

const WORK: &str = "/home/dev/.cache/build";

fn frame(file: &str, line: u32, function: &str) -> Frame {
    Frame {
        file: file.to_owned(),
        line: Some(line),
        function: function.to_owned(),
    }
}

const BACKEND: &str =
    "/tmp/pip-build-env-x1/overlay/lib/python3.13/site-packages/setuptools/_distutils/spawn.py";
const CORE: &str =
    "/tmp/pip-build-env-x1/overlay/lib/python3.13/site-packages/setuptools/_distutils/core.py";
const SETUP: &str = "/tmp/pip-install-y2/evil_0a1b/setup.py";
const SUBPROCESS: &str = "/usr/lib/python3.13/subprocess.py";
const PIP: &str = "/usr/lib/python3/dist-packages/pip/_internal/utils/subprocess.py";

fn in_file(file: &str) -> Frame {
    frame(file, 1, if file == CORE { "setup" } else { "f" })
}

fn key(tgid: u32) -> ProcessKey {
    ProcessKey { tgid, start_ns: 1 }
}

fn event(kind: Kind, process: u32, parent: u32, files: &[&str]) -> Event {
    Event {
        parent: key(parent),
        python: (!files.is_empty()).then(|| files.iter().map(|file| in_file(file)).collect()),
        ..Event::new(kind, key(process), 1)
    }
}

fn exec(process: u32, parent: u32, words: &[&str], files: &[&str]) -> Event {
    Event {
        path: words.first().map(|&word| word.to_owned()),
        argv: Some(words.iter().map(|&word| word.to_owned()).collect()),
        ..event(Kind::Exec, process, parent, files)
    }
}

#[test]
fn pip_the_back_end_the_compiler_and_the_package_are_told_apart() {
    let events = [
        exec(1, 0, &["/usr/bin/python3.13", "-m", "pip", "install"], &[]),
        event(Kind::Open, 1, 0, &[]),
        // pip starts the back end, which runs setup.py in its own process. Before its first
        // stack nobody knows.
        exec(2, 1, &["/usr/bin/python3.13", "x.py"], &[SUBPROCESS, PIP]),
        event(Kind::Open, 2, 1, &[]),
        event(Kind::Open, 2, 1, &[SETUP, BACKEND]),
        event(Kind::Write, 2, 1, &[]),
        exec(
            3,
            2,
            &["/usr/bin/x86_64-linux-gnu-gcc-14"],
            &[SUBPROCESS, BACKEND, CORE, SETUP, SETUP, BACKEND],
        ),
        exec(4, 3, &["/usr/libexec/gcc/x86_64-linux-gnu/14/cc1"], &[]),
        exec(
            5,
            2,
            &["/usr/bin/dash", "-c", "curl"],
            &[SUBPROCESS, SETUP, BACKEND],
        ),
        event(Kind::Open, 5, 2, &[]),
        // The package runs pip, or a compiler: it is still the package.
        exec(6, 5, &["/usr/bin/python3.13", "-m", "pip", "download"], &[]),
        event(Kind::Open, 6, 5, &[PIP]),
        exec(7, 5, &["/usr/bin/gcc"], &[]),
    ];
    let origins = Origins::new(&events, WORK);
    let told: Vec<Origin> = (0..events.len()).filter_map(|i| origins.event(i)).collect();
    use Origin::{BuildRequirement, Compiler, Harness, Installer, Package, Unknown};
    assert_eq!(
        told,
        [
            Harness,
            Installer,
            Installer,
            Unknown,
            Package,
            Package,
            BuildRequirement,
            Compiler,
            Package,
            Package,
            Package,
            Package,
            Package
        ]
    );
    assert_eq!(origins.process(key(3)), Some(Compiler));
    assert_eq!(origins.process(key(5)), Some(Package));
    assert_eq!(origins.counts()[&Package], 7);
}

#[test]
fn what_the_package_calls_is_the_packages_but_for_setup() {
    use Origin::{BuildRequirement, Installer, Package};
    for (files, whose) in [
        // distutils.spawn.spawn([...]), by the package.
        (
            &[SUBPROCESS, BACKEND, SETUP, BACKEND, PIP][..],
            Some(Package),
        ),
        // A command of the package's own, below setup().
        (&[BACKEND, SETUP, BACKEND, CORE, SETUP], Some(Package)),
        (
            &[SUBPROCESS, BACKEND, CORE, SETUP, SETUP],
            Some(BuildRequirement),
        ),
        // What runs before setup() and what setup() was called from are two things.
        (&[BACKEND, CORE, SETUP, BACKEND, SETUP], Some(Package)),
        (&[PIP, SETUP], Some(Package)),
        (&[SUBPROCESS, PIP], Some(Installer)),
        (&[SUBPROCESS], None),
    ] {
        let stack: Vec<Frame> = files.iter().map(|file| in_file(file)).collect();
        let told = telling(&stack, WORK).map(|(_, origin)| origin);
        assert_eq!(told, whose, "{files:?}");
    }
}

#[test]
fn only_the_systems_compilers_are_compilers() {
    let events = [
        exec(1, 0, &["/usr/bin/python3.13", "-m", "pip", "install"], &[]),
        exec(2, 1, &["/usr/bin/ninja"], &[SUBPROCESS, BACKEND]),
        exec(3, 2, &["/usr/bin/dash", "-c", "c++ x.cc && curl u"], &[]),
        event(Kind::Write, 3, 2, &[]),
        exec(4, 3, &["/usr/bin/x86_64-linux-gnu-g++-14"], &[]),
        // gcc -wrapper /tmp/x
        exec(5, 4, &["/tmp/x"], &[]),
        event(Kind::Open, 5, 4, &[]),
        exec(6, 5, &["/usr/bin/gcc"], &[]),
        exec(7, 3, &["/usr/bin/curl", "u"], &[]),
        exec(8, 4, &["/tmp/gcc"], &[]),
    ];
    let origins = Origins::new(&events, WORK);
    let last = |process| origins.process(key(process));
    use Origin::{Compiler, Package};
    assert_eq!(
        (2..=8)
            .map(|process| last(process).unwrap())
            .collect::<Vec<_>>(),
        [
            Compiler, Package, Compiler, Package, Package, Package, Package
        ]
    );
    assert_eq!(
        origins.event(3),
        Some(Package),
        "what the shell does itself"
    );
}

#[test]
fn a_compiler_is_one_where_the_packages_command_has_setuptools_start_it() {
    use Origin::{Compiler, Package};
    let gcc = "/usr/bin/x86_64-linux-gnu-gcc-14";
    let events = [
        exec(1, 0, &["/usr/bin/python3.13", "-m", "pip", "install"], &[]),
        exec(
            2,
            1,
            &[gcc],
            &[SUBPROCESS, BACKEND, SETUP, BACKEND, CORE, SETUP],
        ),
        event(Kind::Write, 2, 1, &[]),
        exec(3, 2, &["/tmp/wrapper"], &[]),
        exec(4, 1, &[gcc], &[SUBPROCESS, SETUP]),
        event(Kind::Write, 4, 1, &[]),
    ];
    let origins = Origins::new(&events, WORK);
    let told: Vec<Origin> = (1..6).filter_map(|i| origins.event(i)).collect();
    assert_eq!(told, [Package, Compiler, Compiler, Package, Package]);
}

#[test]
fn a_stack_that_lost_the_frames_that_tell_tells_nothing() {
    let cut = Event {
        incomplete: Incomplete::PYTHON_INCOMPLETE,
        ..event(Kind::Open, 2, 1, &[SUBPROCESS])
    };
    let events = [
        exec(1, 0, &["/usr/bin/python3.13", "-m", "pip", "install"], &[]),
        event(Kind::Open, 2, 1, &[SUBPROCESS, PIP]),
        cut,
        event(Kind::Open, 2, 1, &[SUBPROCESS]),
    ];
    let origins = Origins::new(&events, WORK);
    let told: Vec<Origin> = (1..4).filter_map(|i| origins.event(i)).collect();
    use Origin::{Installer, Unknown};
    assert_eq!(told, [Installer, Unknown, Installer]);
}

#[test]
fn who_is_behind_what_may_have_been_executed_is_not_known() {
    use Origin::{Harness, Installer, Unknown};
    let pip = ["/usr/bin/python3.13", "-m", "pip", "install"];
    let after = |result, incomplete| {
        let exec = Event {
            result,
            incomplete,
            ..exec(1, 0, &pip, &[])
        };
        let events = [exec, event(Kind::Open, 1, 0, &[])];
        Origins::new(&events, WORK).event(1)
    };
    assert_eq!(after(0, Incomplete::default()), Some(Installer));
    assert_eq!(after(-2, Incomplete::default()), Some(Harness));
    assert_eq!(after(0, Incomplete::RESULT_UNKNOWN), Some(Unknown));
}

/// The build's process goes on as a compiler before the file that it wrote to is closed.
#[test]
fn a_write_is_whosever_ran_when_it_began() {
    use Origin::{Compiler, Unknown};
    let at = |time_ns, event: Event| Event { time_ns, ..event };
    let python = "/usr/bin/python3.13";
    for (since_ns, whose) in [(Some(3), Unknown), (None, Compiler)] {
        let write = Event {
            since_ns,
            ..event(Kind::Write, 2, 1, &[])
        };
        let events = [
            at(1, exec(1, 0, &[python, "-m", "pip", "install"], &[])),
            at(2, exec(2, 1, &[python, "x.py"], &[SUBPROCESS, PIP])),
            at(
                5,
                exec(
                    2,
                    1,
                    &["/usr/bin/gcc"],
                    &[SUBPROCESS, BACKEND, CORE, SETUP, SETUP],
                ),
            ),
            at(9, write),
        ];
        let origins = Origins::new(&events, WORK);
        assert_eq!(origins.event(3), Some(whose), "{since_ns:?}");
    }
}

#[test]
fn files_by_their_places() {
    use Origin::{BuildRequirement, Harness, Installed, Installer, Package};
    for (file, whose) in [
        ("<frozen importlib._bootstrap>", None),
        (SUBPROCESS, None),
        (PIP, Some(Installer)),
        ("<pip-setuptools-caller>", Some(Installer)),
        (
            "/usr/lib/python3/dist-packages/setuptools/build_meta.py",
            Some(BuildRequirement),
        ),
        (BACKEND, Some(BuildRequirement)),
        ("/home/dev/.cache/build/each.py", Some(Harness)),
        ("/home/dev/.cache/build-evil/each.py", Some(Package)),
        (
            "/home/dev/.local/lib/python3.13/site-packages/six.py",
            Some(Installed),
        ),
        (SETUP, Some(Package)),
        ("<string>", Some(Package)),
        ("", Some(Package)),
    ] {
        assert_eq!(of_file(file, WORK), whose, "{file}");
    }
}
