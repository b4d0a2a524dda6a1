//! Where PyTI keeps what it keeps.
//!
//! `$PYTI_HOME` holds all of it where it is set. Otherwise what can be made again goes to
//! `$XDG_CACHE_HOME/pyti` (`~/.cache/pyti`) and the runs to `$XDG_DATA_HOME/pyti`
//! (`~/.local/share/pyti`), after the XDG Base Directory Specification.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The two directories.
#[derive(Debug, Clone)]
pub struct Home {
    /// Images, templates, fetched files, tools: all of it can be made again.
    pub cache: PathBuf,
    /// Finished and unfinished runs, a directory each.
    pub runs: PathBuf,
}

impl Home {
    /// Finds the directories from the environment; makes none.
    ///
    /// # Errors
    /// Neither `PYTI_HOME` nor `HOME` is set.
    pub fn find() -> Result<Self> {
        if let Some(home) = absolute("PYTI_HOME") {
            return Ok(Self {
                runs: home.join("runs"),
                cache: home,
            });
        }
        let home = absolute("HOME");
        let under = |variable: &str, fallback: &str| {
            absolute(variable)
                .or_else(|| home.as_ref().map(|home| home.join(fallback)))
                .map(|base| base.join("pyti"))
                .context("failed to find a place for images and runs: set PYTI_HOME to a directory")
        };
        Ok(Self {
            cache: under("XDG_CACHE_HOME", ".cache")?,
            runs: under("XDG_DATA_HOME", ".local/share")?.join("runs"),
        })
    }
}

/// The specification has relative paths ignored.
fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}
