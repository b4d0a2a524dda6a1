//! A run on disk: `run.json`, `report.json`, and a directory per stage with its events, outputs
//! and data.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use pyti_analyzer::{RunFacts, Target};
use pyti_graph::Outcome;
use serde::{Deserialize, Serialize};

/// File of a stage's directory that holds its datum.
pub const DATUM: &str = "data.json";
/// Version of `run.json`.
pub const SCHEMA: &str = "pyti.run/1";
/// A `run.json` or `report.json` larger than this was not written by this program.
const MAX_JSON: u64 = 256 << 20;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Started, and not finished by its program: a program that died leaves it so.
    Running,
    /// Its report is written.
    Finished,
}

/// Content of `run.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`SCHEMA`].
    pub schema: String,
    /// Name of the run, also that of its directory where the user chose none.
    pub id: String,
    /// Version of the program that made it.
    pub program: String,
    /// Seconds since the epoch.
    pub started: u64,
    /// Where it stands.
    pub state: State,
    /// What is audited.
    pub target: Target,
    /// What is known of the stages so far.
    pub facts: RunFacts,
    /// How each task of the plan ended, in the plan's order; empty until they all have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskEnd>,
}

/// How a task ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskEnd {
    /// Its name.
    pub task: String,
    /// Its end.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What it gave, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// The directory of a run.
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// A directory for a new run: `out`, or one below `runs` named after time and target; with the
    /// run's id. It is not made yet.
    ///
    /// # Errors
    /// There is such a directory already.
    pub fn reserve(out: Option<&Path>, runs: &Path, target: &str) -> Result<(Self, String)> {
        let id = new_id(target);
        let path = out.map_or_else(|| runs.join(&id), Path::to_owned);
        if path.exists() {
            return Err(taken(&path));
        }
        Ok((Self { path }, id))
    }

    /// Makes the directory.
    ///
    /// # Errors
    /// It exists by now, or cannot be made.
    pub fn make(&self) -> Result<()> {
        let path = &self.path;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("failed to make {}", parent.display()))?;
        }
        fs::create_dir(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => taken(path),
            _ => anyhow::Error::new(error).context(format!(
                "failed to make the run directory {}",
                path.display()
            )),
        })
    }

    /// Finds a run by its directory, its id, or `last`.
    ///
    /// # Errors
    /// There is no such run.
    pub fn find(run: &str, runs: &Path) -> Result<Self> {
        let path = if run == "last" {
            newest(runs)
                .with_context(|| format!("no run in {}: audit something first", runs.display()))?
        } else if Path::new(run).join("run.json").is_file() {
            PathBuf::from(run)
        } else {
            runs.join(run)
        };
        if !path.join("run.json").is_file() {
            bail!(
                "no run `{run}`: give its directory, its id below {}, or `last`",
                runs.display()
            );
        }
        Ok(Self { path })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of a stage, made where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn stage(&self, stage: &str) -> Result<PathBuf> {
        let path = self.path.join(stage);
        fs::create_dir_all(&path).with_context(|| format!("failed to make {}", path.display()))?;
        Ok(path)
    }

    /// Names of the stages that have a directory, in the order in which those were made.
    ///
    /// # Errors
    /// The run's directory cannot be read.
    pub fn stage_names(&self) -> Result<Vec<String>> {
        let read = || -> std::io::Result<Vec<String>> {
            let mut found = vec![];
            for entry in fs::read_dir(&self.path)? {
                let entry = entry?;
                let metadata = entry.metadata()?;
                // What a task of the host found out is no stage.
                let stage = || {
                    let files = fs::read_dir(entry.path())?;
                    let mut names = files.map(|file| file.map(|file| file.file_name()));
                    Ok::<_, std::io::Error>(!names.all(|name| name.is_ok_and(|name| name == DATUM)))
                };
                if metadata.is_dir()
                    && stage()?
                    && let Ok(name) = entry.file_name().into_string()
                {
                    found.push((metadata.created().or_else(|_| metadata.modified())?, name));
                }
            }
            found.sort();
            Ok(found.into_iter().map(|(_, name)| name).collect())
        };
        read().with_context(|| format!("failed to read {}", self.path.display()))
    }

    /// Writes `run.json`, whole or not at all.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write_record(&self, record: &RunRecord) -> Result<()> {
        self.write_json("run.json", record)
    }

    /// Reads `run.json`.
    ///
    /// # Errors
    /// It is missing or not what this program writes.
    pub fn read_record(&self) -> Result<RunRecord> {
        let record: RunRecord = self.read_json("run.json")?;
        if record.schema != SCHEMA {
            bail!(
                "{} was written by another version ({}): this program reads {SCHEMA}",
                self.path.display(),
                record.schema
            );
        }
        Ok(record)
    }

    /// Writes a JSON file, whole or not at all.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let path = self.path.join(name);
        let write = || -> Result<()> {
            let unfinished = path.with_extension("part");
            let mut file = File::create(&unfinished)?;
            serde_json::to_writer_pretty(&mut file, value)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            Ok(())
        };
        write().with_context(|| format!("failed to write {}", path.display()))
    }

    /// Reads a JSON file.
    ///
    /// # Errors
    /// It is missing, too large, or not what was expected.
    pub fn read_json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.path.join(name);
        let read = || -> Result<T> {
            let mut text = String::new();
            File::open(&path)?
                .take(MAX_JSON)
                .read_to_string(&mut text)?;
            Ok(serde_json::from_str(&text)?)
        };
        read().with_context(|| format!("failed to read {}", path.display()))
    }
}

fn taken(path: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "{} exists already: a run needs a directory of its own, choose another with --out",
        path.display()
    )
}

/// Seconds since the epoch.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Sorts by time, tells the target, and does not collide.
fn new_id(target: &str) -> String {
    let name: String = target
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || ".-_".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(60)
        .collect();
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("{}-{:09}-{name}", since.as_secs(), since.subsec_nanos())
}

fn newest(runs: &Path) -> Option<PathBuf> {
    fs::read_dir(runs)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("run.json").is_file())
        .max_by_key(|path| path.file_name().map(ToOwned::to_owned))
}
