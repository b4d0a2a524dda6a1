//! A run on disk: `run.json`, `report.json`, and a directory per stage with its events, outputs
//! and data.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use pyti_analyzer::report::{self, Made, RunInfo};
use pyti_analyzer::{Report, RunFacts, Target, escape_within, open_regular};
use pyti_graph::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// File of a stage's directory that holds its datum.
pub const DATUM: &str = "data.json";
/// Version of `run.json`.
pub const SCHEMA: &str = "pyti.run/1";
/// Version of this program.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");
/// The judgement over the run.
pub const REPORT: &str = "report.json";
/// Characters of a name that a message quotes.
const LONGEST_SHOWN: usize = 80;
/// A `run.json` or `report.json` larger than this was not written by this program.
const MAX_JSON: u64 = 256 << 20;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Started, and not finished by its program: a program that died leaves it so. Whether it lives
    /// [`RunDir::is_live`] tells.
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
    /// When and with what it was made.
    #[serde(flatten)]
    pub made: Made,
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

impl RunRecord {
    /// The record of a run of this program that starts now.
    #[must_use]
    pub fn new(id: String, target: Target) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            id,
            made: Made {
                program: PROGRAM.to_owned(),
                started: now(),
                ..Made::default()
            },
            state: State::Running,
            target,
            facts: RunFacts::default(),
            tasks: vec![],
        }
    }
}

/// A run that its program works on, for as long as this lives.
#[derive(Debug)]
#[must_use]
pub struct Held {
    /// Its directory, locked; the kernel unlocks it when the program dies.
    _directory: Option<File>,
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

    /// Makes the directory, and holds it.
    ///
    /// # Errors
    /// It exists by now, or cannot be made.
    pub fn make(&self) -> Result<Held> {
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
        })?;
        // Where the file system has no locks, a live run looks like one whose program died.
        let lock = || {
            let directory = File::open(path)?;
            directory.lock()?;
            Ok(directory)
        };
        let held: std::io::Result<File> = lock();
        if let Err(error) = &held {
            tracing::warn!("failed to lock {}: {error}", path.display());
        }
        Ok(Held {
            _directory: held.ok(),
        })
    }

    /// Whether the program still works on it that made it.
    #[must_use]
    pub fn is_live(&self) -> bool {
        let directory = File::open(&self.path);
        directory.is_ok_and(|directory| {
            matches!(directory.try_lock_shared(), Err(TryLockError::WouldBlock))
        })
    }

    /// All runs below `runs`, the oldest first.
    ///
    /// # Errors
    /// The directory is there and cannot be read.
    pub fn all(runs: &Path) -> Result<Vec<Self>> {
        let mut found = vec![];
        match fs::read_dir(runs) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("failed to read {}", runs.display()));
            }
            Ok(entries) => {
                let paths = entries.flatten().map(|entry| entry.path());
                found.extend(paths.filter(|path| path.join("run.json").is_file()));
            }
        }
        // Ids begin with the time.
        found.sort();
        Ok(found.into_iter().map(|path| Self { path }).collect())
    }

    /// Finds a run by its directory, its id, or `last`.
    ///
    /// # Errors
    /// There is no such run.
    pub fn find(run: &str, runs: &Path) -> Result<Self> {
        let path = if run == "last" {
            let newest = Self::all(runs)?.pop();
            return newest
                .with_context(|| format!("no run in {}: audit something first", runs.display()));
        } else if Path::new(run).join("run.json").is_file() {
            PathBuf::from(run)
        } else {
            runs.join(run)
        };
        if !path.join("run.json").is_file() {
            bail!(
                "no run `{run}`: give its directory, its id below {} (`pyti runs` lists them), or `last`",
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
                    && let Ok(name) = entry.file_name().into_string()
                    && is_name(&name)
                    && stage()?
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
    /// It is missing or not what this program writes; names of stages are also those of directories, and
    /// somebody else's run might lead anywhere by them.
    pub fn read_record(&self) -> Result<RunRecord> {
        let value: Value = self.read_json("run.json")?;
        let program = value["program"].as_str().unwrap_or("?").to_owned();
        let record: RunRecord = self.understood("run.json", value, SCHEMA, &program)?;
        let stages = record.facts.stages.iter().map(|stage| &stage.name);
        let mut names = stages.chain(record.tasks.iter().map(|end| &end.task));
        if let Some(name) = names.find(|name| !is_name(name)) {
            bail!(
                "{} names a stage `{}`, and no stage of PyTI's has such a name: another program wrote or changed it",
                self.path.join("run.json").display(),
                escape_within(name, LONGEST_SHOWN)
            );
        }
        Ok(record)
    }

    /// Reads `report.json`; none where it is not there.
    ///
    /// # Errors
    /// It is not what this program writes.
    pub fn read_report(&self, record: &RunRecord) -> Result<Option<Report>> {
        if !self.path.join(REPORT).exists() {
            return Ok(None);
        }
        let value = self.read_json(REPORT)?;
        let mut report: Report =
            self.understood(REPORT, value, report::SCHEMA, &record.made.program)?;
        report.run = Some(self.info(record));
        Ok(Some(report))
    }

    /// Which run it is, for its report.
    #[must_use]
    pub fn info(&self, record: &RunRecord) -> RunInfo {
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        RunInfo {
            id: Some(record.id.clone()),
            directory: Some(path.to_string_lossy().into_owned()),
            made: record.made.clone(),
        }
    }

    /// What a file of this schema says, which PyTI of this version wrote.
    fn understood<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        value: Value,
        schema: &str,
        program: &str,
    ) -> Result<T> {
        let path = self.path.join(name);
        let path = path.display();
        let written = value["schema"].as_str().unwrap_or("no schema");
        if written != schema {
            bail!(
                "{path} was written by PyTI {program} as {written}, and this PyTI ({PROGRAM}) reads \
                 {schema}: show the run with the PyTI that wrote it, or audit again"
            );
        }
        serde_json::from_value(value).map_err(|error| {
            anyhow::anyhow!(
                "{path} was written by PyTI {program}, perhaps by another build of it than this \
                 ({PROGRAM}), which does not understand it ({error}): show the run with the PyTI that \
                 wrote it, or audit again"
            )
        })
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
            open_regular(&path)?
                .take(MAX_JSON)
                .read_to_string(&mut text)?;
            Ok(serde_json::from_str(&text)?)
        };
        read().with_context(|| format!("failed to read {}", path.display()))
    }
}

/// Whether stages and tasks have such names.
fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(is_part)
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

#[cfg(test)]
mod tests;
