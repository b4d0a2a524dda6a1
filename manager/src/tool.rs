//! Tools of a stage, installed for the guest's user by unpacking their wheels into the input: what an
//! installer does with a wheel (PEP 427), save that nothing is compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use pyti_index::archive::{self, Limits};
use pyti_index::{DistKind, WheelhouseFile, entry_points};
use pyti_vm::Interpreter;
use zip::ZipArchive;

use crate::order::HOME;

/// The prefix of the user's installations.
const PREFIX: &str = "home/dev/.local";
/// Where the user's commands are.
pub(crate) const COMMANDS: &str = "home/dev/.local/bin";
/// Bytes of one file of a wheel.
const MOST_BYTES: u64 = 256 << 20;
/// Files of one wheel.
const MOST_FILES: usize = 50_000;
/// 1980-01-01, the oldest moment that a wheel can hold.
const MOMENT: u64 = 315_532_800;

/// Appends the files of the wheels for `python`, and the commands that they offer, but for those
/// that are `there`.
///
/// # Errors
/// A tool that has no wheel, or a wheel that cannot be read.
pub(crate) fn append(
    tools: &[WheelhouseFile],
    python: &Interpreter,
    there: &BTreeSet<PathBuf>,
    tar: &mut tar::Builder<impl Write>,
) -> Result<()> {
    let site = format!("{}/{}", HOME.trim_start_matches('/'), python.user_site());
    for tool in tools {
        let commands = append_wheel(tool, &site, &python.path, tar)
            .with_context(|| format!("failed to unpack {}", tool.filename))?;
        for (name, reference) in commands {
            let path = format!("{COMMANDS}/{name}");
            let script = script(&python.path, &name, &reference);
            if let Some(script) = script.filter(|_| !there.contains(Path::new(&path))) {
                append_file(&path, 0o755, script.as_bytes(), tar)?;
            }
        }
    }
    Ok(())
}

/// Whether a wheel can be unpacked so.
///
/// # Errors
/// It cannot be read, or has what belongs nowhere.
pub(crate) fn check(tool: &WheelhouseFile, python: &Interpreter) -> Result<()> {
    let mut nowhere = tar::Builder::new(std::io::sink());
    let there = BTreeSet::new();
    append(std::slice::from_ref(tool), python, &there, &mut nowhere)
}

/// The program that an installer makes of a command
/// (<https://packaging.python.org/en/latest/specifications/entry-points/#use-for-scripts>); `None`
/// where the name or the object reference is none.
fn script(python: &str, name: &str, reference: &str) -> Option<String> {
    // What stands in brackets are extras, which are not asked for any more.
    let reference = reference.split('[').next().unwrap_or_default().trim();
    let (module, object) = reference.split_once(':')?;
    let identifier = |word: &str| {
        let letters = |c: char| c.is_alphanumeric() || c == '_';
        word.starts_with(|c: char| c.is_alphabetic() || c == '_') && word.chars().all(letters)
    };
    let dotted = |words: &str| words.split('.').all(identifier);
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_name = !name.starts_with('.') && !name.is_empty() && name.chars().all(plain);
    if !is_name || !dotted(module) || !dotted(object) {
        return None;
    }
    let first = object.split('.').next()?;
    Some(format!(
        "#!{python}\nimport sys\nfrom {module} import {first}\nsys.exit({object}())\n"
    ))
}

fn append_wheel(
    tool: &WheelhouseFile,
    site: &str,
    python: &str,
    tar: &mut tar::Builder<impl Write>,
) -> Result<BTreeMap<String, String>> {
    ensure!(tool.filename.ends_with(".whl"), "it is no wheel");
    // What a stage's tools are may be the package's to say: its tests may require anything.
    archive::read(&tool.path, DistKind::Wheel, &Limits::default(), |_| false)?;
    let mut archive = ZipArchive::new(File::open(&tool.path)?)?;
    ensure!(archive.len() <= MOST_FILES, "it has too many files");
    let mut commands = BTreeMap::new();
    for index in 0..archive.len() {
        let file = archive.by_index(index)?;
        if file.is_dir() {
            continue;
        }
        let name = file
            .enclosed_name()
            .context("it has a path that leaves it")?;
        let name = name.to_str().context("it has a path that is no text")?;
        let (path, mode) = place(name, site)?;
        ensure!(file.size() <= MOST_BYTES, "{name} is too large");
        let offers =
            name.ends_with(".dist-info/entry_points.txt") && name.matches('/').count() == 1;
        let size = file.size();
        let mut content = vec![];
        file.take(size + 1).read_to_end(&mut content)?;
        ensure!(
            content.len() as u64 == size,
            "{path} is not as long as it says"
        );
        if Path::new(&path).starts_with(COMMANDS) {
            content = runnable(content, python);
        }
        append_file(&path, mode, &content, tar)?;
        if offers {
            // Those that cannot be read offer nothing, as to an installer.
            let mut points = entry_points::parse_bytes(&content).unwrap_or_default();
            commands.extend(points.remove("console_scripts").unwrap_or_default());
        }
    }
    Ok(commands)
}

/// A script as an installer puts it there: its first line names the interpreter where that only says that it
/// is for Python (PEP 427).
fn runnable(content: Vec<u8>, python: &str) -> Vec<u8> {
    if !content.starts_with(b"#!python") {
        return content;
    }
    let end = content.iter().position(|byte| *byte == b'\n');
    let rest = content.get(end.unwrap_or(content.len())..);
    let mut script = format!("#!{python}").into_bytes();
    script.extend_from_slice(rest.unwrap_or_default());
    script
}

fn append_file(
    path: &str,
    mode: u32,
    content: &[u8],
    tar: &mut tar::Builder<impl Write>,
) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_mtime(MOMENT);
    header.set_size(content.len() as u64);
    Ok(tar.append_data(&mut header, path, content)?)
}

/// Where a member goes, and its mode.
fn place(name: &str, site: &str) -> Result<(String, u32)> {
    let data = name
        .split_once(".data/")
        .filter(|(info, _)| !info.contains('/'));
    let Some((_, inside)) = data else {
        return Ok((format!("{site}/{name}"), 0o644));
    };
    Ok(match inside.split_once('/') {
        Some(("purelib" | "platlib", rest)) => (format!("{site}/{rest}"), 0o644),
        Some(("scripts", rest)) => (format!("{COMMANDS}/{rest}"), 0o755),
        Some(("data", rest)) => (format!("{PREFIX}/{rest}"), 0o644),
        Some(("headers", rest)) => (format!("{PREFIX}/include/{rest}"), 0o644),
        _ => bail!("{name} belongs nowhere"),
    })
}

#[cfg(test)]
mod tests {
    use zip::CompressionMethod;
    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;

    /// A wheel that has this file, and where it is.
    fn wheel(member: &str, content: &[u8]) -> (tempfile::NamedTempFile, WheelhouseFile) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut wheel = ZipWriter::new(file.reopen().unwrap());
        let deflated = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        wheel.start_file(member, deflated).unwrap();
        wheel.write_all(content).unwrap();
        wheel.finish().unwrap();
        let tool = WheelhouseFile {
            filename: "a-1-py3-none-any.whl".into(),
            path: file.path().to_owned(),
            sha256: String::new(),
            bytes: 0,
        };
        (file, tool)
    }

    /// What is made of a wheel that has a module of so many zeroes.
    fn unpacked(bytes: usize) -> anyhow::Result<usize> {
        let (_file, tool) = wheel("a.py", &vec![0; bytes]);
        let mut tar = tar::Builder::new(vec![]);
        append_wheel(&tool, "site", "/usr/bin/python3", &mut tar)?;
        Ok(tar.into_inner()?.len())
    }

    #[test]
    fn a_wheel_that_cannot_be_unpacked_is_found_out_before_it_is_a_tool() {
        let python = Interpreter::new("/usr/bin/python3", "3.13", "2.41").unwrap();
        let checked = |member: &str| {
            let (_file, tool) = wheel(member, &[0; 10]);
            check(&tool, &python).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(checked("a-1.data/scripts/x"), Ok(()));
        let refused = "failed to unpack a-1-py3-none-any.whl: a-1.data/strange/x belongs nowhere";
        assert_eq!(checked("a-1.data/strange/x"), Err(refused.to_owned()));
    }

    #[test]
    fn scripts_of_a_wheel_are_run_by_the_interpreter() {
        let written = |member: &str, content: &str| {
            let (_file, tool) = wheel(member, content.as_bytes());
            let mut tar = tar::Builder::new(vec![]);
            append_wheel(&tool, "site", "/usr/bin/python2", &mut tar).unwrap();
            let tar = tar.into_inner().unwrap();
            let mut archive = tar::Archive::new(&tar[..]);
            let mut file = archive.entries().unwrap().next().unwrap().unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            text
        };
        for (content, expected) in [
            ("#!python\nx = 1\n", "#!/usr/bin/python2\nx = 1\n"),
            ("#!pythonw\n", "#!/usr/bin/python2\n"),
            ("#!python", "#!/usr/bin/python2"),
            ("#!/bin/sh\n#!python\n", "#!/bin/sh\n#!python\n"),
            ("\n#!python\n", "\n#!python\n"),
        ] {
            assert_eq!(written("a-1.data/scripts/run", content), expected);
            assert_eq!(written("a/run", content), content);
        }
    }

    #[test]
    fn a_wheel_that_is_a_bomb_is_not_unpacked() {
        assert!(unpacked(1 << 10).unwrap() > 1 << 10);
        let refused = unpacked(40 << 20).unwrap_err().to_string();
        assert!(refused.contains("like a bomb"), "{refused}");
    }

    #[test]
    fn a_command_becomes_a_program_and_nothing_else_does() {
        assert_eq!(
            script("/usr/bin/python3", "mypy", "mypy.__main__:Main.run [extra]").as_deref(),
            Some(
                "#!/usr/bin/python3\nimport sys\nfrom mypy.__main__ import Main\nsys.exit(Main.run())\n"
            )
        );
        for (name, reference) in [
            ("../up", "a:b"),
            (".profile", "a:b"),
            ("x", "a"),
            ("x", "a:b()\nimport os"),
            ("x", "a;b:c"),
        ] {
            assert_eq!(
                script("/usr/bin/python3", name, reference),
                None,
                "{name} {reference}"
            );
        }
    }

    #[test]
    fn members_go_where_installers_put_them() {
        let library = "home/dev/.local/lib/python2.7/site-packages";
        let at = |name| place(name, library).unwrap();
        assert_eq!(at("a/b.py"), (format!("{library}/a/b.py"), 0o644));
        assert_eq!(
            at("a-1.data/platlib/c.so"),
            (format!("{library}/c.so"), 0o644)
        );
        assert_eq!(
            at("a-1.data/scripts/run"),
            ("home/dev/.local/bin/run".into(), 0o755)
        );
        assert_eq!(at("a/b.data/x"), (format!("{library}/a/b.data/x"), 0o644));
        assert!(place("a-1.data/strange/x", library).is_err());
    }
}
