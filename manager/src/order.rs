//! What a stage is ordered to do: the parts that every stage has in common.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use pyti_analyzer::Vars;
use pyti_index::WheelhouseFile;
use pyti_trace::wire::{Keep, Slot, StageSpec};
use pyti_vm::Interpreter;

use crate::cli::LimitArgs;
use crate::data_store::Blob;

/// Name of the stage that every run needs to be judged whole.
pub const INSTALL: &str = "install";
/// The user's home directory in the guest.
pub const HOME: &str = "/home/dev";
/// Where the host's own files are in the guest; no part of the state that a stage leaves.
pub const WORK: &str = "/home/dev/.cache/build";
/// Where the wheelhouse is.
pub const WHEELHOUSE: &str = "/home/dev/.cache/build/wheelhouse";
/// Where the programs of stages write what the host reads back.
pub const RESULT: &str = "/home/dev/.cache/build/result.json";
/// Serial number of the slot that holds the input.
const SLOT: &str = "in0";
/// Largest state of the disk that is brought back; the agent's disk is not larger.
const STATE_BYTES: u64 = 1 << 30;

/// What a clone is given and told.
#[derive(Debug, Clone)]
pub struct Order {
    /// For the agent.
    pub spec: StageSpec,
    /// The files in [`WHEELHOUSE`].
    pub wheelhouse: Vec<WheelhouseFile>,
    /// Wheels that are installed for the user, where nothing else brings the package.
    pub tools: Vec<WheelhouseFile>,
    /// Other files, by their paths in the guest.
    pub blobs: Vec<(String, Blob)>,
    /// The state of the disk that it starts from, as an earlier stage left it.
    pub state: Option<Blob>,
}

impl Order {
    /// The order for a stage that runs `argv` as the guest's ordinary user, traced.
    ///
    /// # Errors
    /// The host has no entropy to give.
    pub fn new(stage: &str, argv: Vec<String>, limits: &LimitArgs) -> Result<Self> {
        Ok(Self {
            spec: order(stage, argv, limits)?,
            wheelhouse: vec![],
            tools: vec![],
            blobs: vec![],
            state: None,
        })
    }

    /// Keeps every pip of the stage to the wheelhouse, also one that a setup.py starts: setuptools fetches by
    /// another pip what is asked for by `setup_requires`.
    pub fn keep_to_wheelhouse(&mut self) {
        for (name, value) in [("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", WHEELHOUSE)] {
            self.spec.env.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Asks for the state that the stage leaves.
    pub fn keep_state(&mut self) {
        self.spec.keep = Some(Keep {
            bytes: STATE_BYTES,
            without: vec![WORK.trim_start_matches('/').to_owned()],
        });
    }
}

/// The agent's part of an [`Order`].
///
/// # Errors
/// The host has no entropy to give.
pub fn order(stage: &str, argv: Vec<String>, limits: &LimitArgs) -> Result<StageSpec> {
    let mut entropy = [0_u8; 64];
    getrandom::fill(&mut entropy).context("failed to get entropy for the VM")?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(StageSpec {
        stage: stage.to_owned(),
        argv,
        env: environment(),
        cwd: HOME.to_owned(),
        traced: true,
        timed: false,
        wall_seconds: limits.wall_seconds,
        memory_bytes: limits.memory_mib << 20,
        pids: limits.pids,
        output_bytes: limits.output_kib << 10,
        hostname: format!("dev-{}", hex(&entropy[..2])),
        unix_time_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
        entropy: hex(&entropy),
        slots: vec![Slot {
            serial: SLOT.to_owned(),
            directory: "/".to_owned(),
        }],
        files: vec![],
        collect: vec![],
        keep: None,
    })
}

/// What rules mean by `$HOME` and `$WORK`.
#[must_use]
pub fn vars() -> Vars {
    Vars {
        home: HOME.to_owned(),
        work: WORK.to_owned(),
    }
}

/// The environment of an ordinary login.
fn environment() -> Vec<(String, String)> {
    [
        ("HOME", HOME),
        ("USER", "dev"),
        ("LOGNAME", "dev"),
        ("SHELL", "/bin/bash"),
        ("LANG", "C.UTF-8"),
        (
            "PATH",
            "/home/dev/.local/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games:/usr/sbin:/sbin",
        ),
        // Debian marks its Python as its own (PEP 668); a user's install is what is wanted here.
        ("PIP_BREAK_SYSTEM_PACKAGES", "1"),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// One of our own programs for the guest, behind what they have in common.
#[must_use]
pub fn guest_program(source: &str) -> String {
    format!("{}{source}", include_str!("guest.py"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `python3 -m pip install` by the image's own interpreter, from the wheelhouse and nothing else.
#[must_use]
pub fn pip_install(python: &Interpreter, options: &[&str], file: &str) -> Vec<String> {
    [
        python.path.as_str(),
        "-m",
        "pip",
        "install",
        "--no-index",
        "--find-links",
        WHEELHOUSE,
    ]
    .iter()
    .chain(&["--no-input", "--no-color", "--progress-bar", "off"])
    .chain(options)
    .map(|&word| word.to_owned())
    .chain([file.to_owned()])
    .collect()
}
