//! Tools of a stage, installed for the guest's user by unpacking their wheels into the input: what an
//! installer does with a wheel (PEP 427), save that nothing is compiled and no script is made.

use std::fs::File;
use std::io::{Read, Write};

use anyhow::{Context, Result, bail, ensure};
use pyti_index::WheelhouseFile;
use zip::ZipArchive;

/// The prefix of the user's installations.
const PREFIX: &str = "home/dev/.local";
/// Bytes of one file of a wheel.
const MOST_BYTES: u64 = 256 << 20;
/// Files of one wheel.
const MOST_FILES: usize = 50_000;
/// 1980-01-01, the oldest moment that a wheel can hold.
const MOMENT: u64 = 315_532_800;

/// Appends the files of the wheels; `site` is the directory for packages, relative to `/`.
///
/// # Errors
/// A tool that has no wheel, or a wheel that cannot be read.
pub(crate) fn append(
    tools: &[WheelhouseFile],
    site: &str,
    tar: &mut tar::Builder<impl Write>,
) -> Result<()> {
    for tool in tools {
        append_wheel(tool, site, tar)
            .with_context(|| format!("failed to unpack {}", tool.filename))?;
    }
    Ok(())
}

fn append_wheel(
    tool: &WheelhouseFile,
    site: &str,
    tar: &mut tar::Builder<impl Write>,
) -> Result<()> {
    ensure!(
        tool.filename.ends_with(".whl"),
        "it is no wheel, and tools are not built"
    );
    let mut archive = ZipArchive::new(File::open(&tool.path)?)?;
    ensure!(archive.len() <= MOST_FILES, "it has too many files");
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
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_mtime(MOMENT);
        header.set_size(file.size());
        let size = file.size();
        let mut content = vec![];
        file.take(size + 1).read_to_end(&mut content)?;
        ensure!(
            content.len() as u64 == size,
            "{path} is not as long as it says"
        );
        tar.append_data(&mut header, path, &content[..])?;
    }
    Ok(())
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
        Some(("scripts", rest)) => (format!("{PREFIX}/bin/{rest}"), 0o755),
        Some(("data", rest)) => (format!("{PREFIX}/{rest}"), 0o644),
        Some(("headers", rest)) => (format!("{PREFIX}/include/{rest}"), 0o644),
        _ => bail!("{name} belongs nowhere"),
    })
}

#[cfg(test)]
mod tests {
    use super::place;

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
