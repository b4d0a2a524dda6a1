//! Of which Python interpreter the stacks stand in the events: one, found before the command runs.

use std::collections::BTreeSet;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::event::{Event, Kind};
use crate::loader::{LoadError, Tracer, interpreter};

/// Longest first line of a script that the kernel looks at (`BINPRM_BUF_SIZE`, include/uapi/linux/binfmts.h).
const FIRST_LINE: u64 = 256;
/// Interpreters that are told at most.
const MAX_TOLD: usize = 5;

/// The interpreter, and those that ran.
#[derive(Debug, Default)]
pub(super) struct Python {
    /// The interpreter whose stacks are read.
    read: Option<PathBuf>,
    /// Interpreters that ran and whose stacks are not read.
    unread: BTreeSet<String>,
    /// Those of them whose files were looked at.
    tried: BTreeSet<String>,
}

impl Python {
    /// Has the stacks read of the interpreter that the command is, or that its script names, or else
    /// of `python3`, which it may start.
    ///
    /// # Errors
    /// The kernel would not take it.
    pub(super) fn of(command: &[OsString], tracer: &mut Tracer) -> Result<Self, LoadError> {
        let path = env::var_os("PATH").unwrap_or_default();
        let program = command.first().and_then(|name| find(name, &path));
        let script = program.as_deref().and_then(|file| script_of(file, &path));
        let usual = find(OsStr::new("python3"), &path);
        for file in [program, script, usual].into_iter().flatten() {
            if let Some(known) = interpreter(&file) {
                tracer.read_stacks_of(known)?;
                return Ok(Self {
                    read: Some(file),
                    ..Self::default()
                });
            }
        }
        Ok(Self::default())
    }

    /// Takes note of an interpreter that runs.
    pub(super) fn meet(&mut self, event: &Event) {
        let Some(path) = event.path.as_deref() else {
            return;
        };
        let runs = event.kind == Kind::Exec && event.result >= 0;
        let is_python = Path::new(path)
            .file_name()
            .is_some_and(|name| name.as_bytes().starts_with(b"python"));
        let is_read = self.read.as_deref() == Some(Path::new(path));
        if runs && is_python && !is_read && self.unread.len() < MAX_TOLD {
            self.unread.insert(path.to_owned());
        }
    }

    /// Has the stacks read of an interpreter that was met, where there is none yet: a script of pyenv's
    /// does not say which one it will run.
    ///
    /// # Errors
    /// The kernel would not take it.
    pub(super) fn adopt(&mut self, tracer: &mut Tracer) -> Result<(), LoadError> {
        while self.read.is_none()
            && let Some(path) = self.unread.iter().find(|path| !self.tried.contains(*path))
        {
            let path = path.clone();
            if let Some(known) = interpreter(Path::new(&path)) {
                tracer.read_stacks_of(known)?;
                self.unread.remove(&path);
                self.read = Some(path.clone().into());
            }
            self.tried.insert(path);
        }
        Ok(())
    }

    /// The interpreter whose stacks are read.
    pub(super) fn read(&self) -> Option<&Path> {
        self.read.as_deref()
    }

    /// Interpreters that ran and whose stacks are not read.
    pub(super) fn unread(&self) -> &BTreeSet<String> {
        &self.unread
    }
}

/// The file that a command names, without symbolic links.
fn find(name: &OsStr, path: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Path::new(name).canonicalize().ok();
    }
    env::split_paths(path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())?
        .canonicalize()
        .ok()
}

/// The interpreter in a script's first line, also behind `env`.
fn script_of(file: &Path, path: &OsStr) -> Option<PathBuf> {
    let mut line = Vec::new();
    BufReader::new(File::open(file).ok()?.take(FIRST_LINE))
        .read_until(b'\n', &mut line)
        .ok()?;
    let line = line.strip_prefix(b"#!")?.trim_ascii();
    let mut words = line.split(u8::is_ascii_whitespace);
    let first = Path::new(OsStr::from_bytes(words.next()?));
    if first.file_name() == Some(OsStr::new("env")) {
        let named = words.find(|word| !word.is_empty() && !word.starts_with(b"-"))?;
        return find(OsStr::from_bytes(named), path);
    }
    first.canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::event::ProcessKey;

    #[test]
    fn commands_are_found_as_a_shell_finds_them() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let real = at("python3.13");
        fs::write(&real, "").unwrap();
        symlink(&real, at("python3")).unwrap();
        let real = real.canonicalize().unwrap();
        let path = directory.path().as_os_str();
        let named = |name: &str| find(OsStr::new(name), path);
        assert_eq!(named("python3").as_ref(), Some(&real));
        assert_eq!(
            find(at("python3").as_os_str(), OsStr::new("")).as_ref(),
            Some(&real)
        );
        assert_eq!(named("absent"), None);
        for (text, found) in [
            (format!("#!{} -E\nx", real.display()), true),
            ("#!/usr/bin/env python3\n".into(), true),
            ("#!/usr/bin/env -S python3 -E\n".into(), true),
            ("#!/nowhere/python3\n".into(), false),
            ("#!\n".into(), false),
            ("\u{7f}ELF".into(), false),
        ] {
            fs::write(at("script"), &text).unwrap();
            let expected = found.then_some(&real);
            assert_eq!(script_of(&at("script"), path).as_ref(), expected, "{text}");
        }
    }

    #[test]
    fn only_other_interpreters_that_ran_are_told() {
        let mut python = Python {
            read: Some("/usr/bin/python3.13".into()),
            ..Python::default()
        };
        for (path, result) in [
            ("/usr/bin/python3.13", 0),
            ("/usr/bin/python3.11", 0),
            ("/usr/bin/python3.9", -2),
            ("/bin/sh", 0),
        ] {
            let mut exec = Event::new(Kind::Exec, ProcessKey::default(), 0);
            exec.path = Some(path.into());
            exec.result = result;
            python.meet(&exec);
        }
        assert_eq!(Vec::from_iter(python.unread()), ["/usr/bin/python3.11"]);
    }
}
