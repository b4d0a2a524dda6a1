//! Runs once, before the template is saved, what most stages run first: so that the files they need
//! are in memory in every clone.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::error::{AgentError, Doing as _};
use super::namespace::View;
use super::slots;
use super::spawn::{self, End, Place, Program};

/// Where the warming package lives; deleted afterwards.
const DIRECTORY: &str = "/tmp/.warm";
/// A package with a C file: its installation goes through pip, setuptools, compiler and linker.
const FILES: &[(&str, &str)] = &[
    (
        "/tmp/.warm/setup.py",
        "from setuptools import setup, Extension\n\
         setup(name='warm', version='1', ext_modules=[Extension('warm', ['warm.c'])])\n",
    ),
    (
        "/tmp/.warm/warm.c",
        "#include <Python.h>\n\
         #if PY_MAJOR_VERSION >= 3\n\
         static struct PyModuleDef def = {PyModuleDef_HEAD_INIT, \"warm\", NULL, -1, NULL};\n\
         PyMODINIT_FUNC PyInit_warm(void) { return PyModule_Create(&def); }\n\
         #else\n\
         static PyMethodDef none[] = {{NULL, NULL, 0, NULL}};\n\
         PyMODINIT_FUNC initwarm(void) { Py_InitModule(\"warm\", none); }\n\
         #endif\n",
    ),
];
/// What a shell calls.
const SHELL: &[&str] = &[
    "sh",
    "-c",
    "uname -a; id; cat /etc/passwd; ls -la ~; git --version; curl --version",
];
/// What the interpreter is told, also one with an old pip.
const PIP: &[&str] = &[
    "-m",
    "pip",
    "install",
    "--no-index",
    "--no-build-isolation",
    "--no-cache-dir",
    "--no-deps",
    "--target",
    "/tmp/.warm/target",
    "/tmp/.warm",
];
/// The file of the initramfs that names the image's interpreter.
const INTERPRETER: &str = "/interpreter";
/// The longest one may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The image's interpreter, as the initramfs has it: read before the tree is entered.
pub(super) fn interpreter() -> Result<String, AgentError> {
    fs::read_to_string(INTERPRETER).doing(|| format!("read {INTERPRETER}"))
}

/// Warms what it can; returns what could not be run, which makes clones slower and nothing else.
pub(super) fn warm(view: &View, interpreter: &str) -> Vec<String> {
    let mut failures = Vec::new();
    for (path, content) in FILES {
        if let Err(error) = slots::plant(path, content) {
            failures.push(error.to_string());
        }
    }
    let pip = [&[interpreter], PIP].concat();
    for command in [SHELL, &pip] {
        match run(command, view) {
            Ok(End::Exited(0)) => {}
            Ok(End::Exited(status)) => {
                failures.push(format!("warming: {command:?} exited with {status}"))
            }
            Ok(End::Signaled(signal)) => {
                failures.push(format!("warming: {command:?} ended by signal {signal}"))
            }
            Ok(End::Failed(error)) | Err(error) => failures.push(format!("warming: {error}")),
        }
    }
    if let Err(error) = fs::remove_dir_all(DIRECTORY) {
        failures.push(format!("failed to delete {DIRECTORY}: {error}"));
    }
    failures
}

fn run(command: &[&str], view: &View) -> Result<End, AgentError> {
    let argv: Vec<String> = command.iter().map(ToString::to_string).collect();
    let env = [
        ("HOME", "/home/dev"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("LANG", "C.UTF-8"),
        // As for stages: an old pip does not know it as an option.
        ("PIP_BREAK_SYSTEM_PACKAGES", "1"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let program = Program::find(&argv, &env, DIRECTORY)?;
    let null = fs::File::options()
        .write(true)
        .open(Path::new("/dev/null"))
        .doing(|| "open /dev/null".into())?;
    let place = Place {
        stdout: null.as_fd(),
        stderr: null.as_fd(),
        view: view.as_fd(),
        cgroup: None,
    };
    let held = spawn::hold(&place)?;
    let group = Pid::from_raw(held.pid as i32);
    let child = held.release(&program);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(end) = child.ended() {
            return Ok(end);
        }
        if Instant::now() >= deadline {
            // It leads a session of its own, and so a process group.
            let _ = killpg(group, Signal::SIGKILL);
            return Err(AgentError::Order(format!("{command:?} took too long")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
