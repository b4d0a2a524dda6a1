//! A home, a place for temporary files and one for a run, all of them a test's own: what is left there is
//! of nobody else.

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::Result;
use pyti::home::Home;
use pyti_index::{IndexConfig, Options, Quiet};
use tempfile::TempDir;

use crate::{guest, process, pyti, text};

/// Where things are put that are under way: the environment's directory, and those of the home.
const UNDER_WAY: [&str; 4] = ["temporary", "home/tmp", "home/stages", "home/data/tmp"];

/// The directories, and all that is in them.
#[derive(Debug)]
pub struct Place {
    directory: TempDir,
}

impl Place {
    /// One in whose home there is nothing, not even an image.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn empty() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        for name in ["temporary", "home"] {
            std::fs::create_dir(directory.path().join(name))?;
        }
        Ok(Self { directory })
    }

    /// One with the images, the template and the resolver of the usual home, made there where they are
    /// missing.
    ///
    /// # Errors
    /// They cannot be made, or the disk refuses.
    pub async fn furnished() -> Result<Self> {
        let template = guest::template().await?.record().key.clone();
        let place = Self::with_resolver().await?;
        std::fs::create_dir(place.path("home/templates"))?;
        place.link(&["images", "kvm.json", &format!("templates/{template}")])?;
        Ok(place)
    }

    /// One with the resolver of the usual home, fetched there where it is missing.
    ///
    /// # Errors
    /// It cannot be fetched, or the disk refuses.
    pub async fn with_resolver() -> Result<Self> {
        let options = Options::new(Home::find()?.cache, IndexConfig::discover(None, &[])?);
        pyti_index::fetch_uv(&options, Arc::new(Quiet)).await?;
        let place = Self::empty()?;
        place.link(&["tools"])?;
        Ok(place)
    }

    /// Takes what there is of these from the usual home.
    fn link(&self, names: &[&str]) -> Result<()> {
        let usual = Home::find()?.cache;
        for name in names {
            if usual.join(name).exists() {
                symlink(usual.join(name), self.path("home").join(name))?;
            }
        }
        Ok(())
    }

    /// Something in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `pyti`, which knows of no other place. It leads a group of its own, as a shell has it.
    #[must_use]
    pub fn pyti(&self, args: &[&str]) -> Command {
        let mut command = pyti();
        command
            .args(args)
            .env("PYTI_HOME", self.path("home"))
            .env("TMPDIR", self.path("temporary"))
            .env("NO_PROXY", "127.0.0.1")
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts an audit whose run is `run` in it.
    ///
    /// # Panics
    /// The program cannot be started.
    #[must_use]
    pub fn audit(&self, target: &Path) -> Child {
        let run = self.path("run");
        let mut command = self.pyti(&["audit", "--format", "json", "--out"]);
        let started = command.arg(run).arg(target).spawn();
        started.expect("failed to start pyti")
    }

    /// What `pyti` prints with these arguments.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    pub fn says(&self, args: &[&str]) -> String {
        let output = self.pyti(args).output().expect("failed to start pyti");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    /// The names in a directory of it, sorted; none where there is no such directory.
    #[must_use]
    pub fn names(&self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(directory));
        let entries = entries.into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// What is under way in it, or was and is left.
    #[must_use]
    pub fn under_way(&self) -> Vec<String> {
        let below = |directory: &&str| {
            let names = self.names(directory).into_iter();
            names
                .map(|name| format!("{directory}/{name}"))
                .collect::<Vec<_>>()
        };
        UNDER_WAY.iter().flat_map(below).collect()
    }

    /// The names of the programs that run for it, `pyti` and all that it started: their environment
    /// names it.
    ///
    /// # Panics
    /// Its path is no text.
    #[must_use]
    pub fn programs(&self) -> Vec<String> {
        let directory = self.directory.path().to_str();
        process::programs_with(directory.expect("a path that is no text"))
    }
}
