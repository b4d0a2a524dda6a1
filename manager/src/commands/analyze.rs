//! `pyti analyze`: traces that were made elsewhere.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use pyti_analyzer::report::{RunInfo, render};
use pyti_analyzer::store::StoreWriter;
use pyti_analyzer::strace::{self, Home, Limits, Trace};
use pyti_analyzer::{Report, RuleSet, StageRecord, Target, Vars};
use sha2::{Digest, Sha256};

use super::style;
use crate::cli::{AnalyzeArgs, Format};
use crate::order::{HOME, WORK};
use crate::run_dir::{REPORT, RunDir, RunRecord, State};

/// Characters of the command that the report calls the trace by.
const TITLE: usize = 120;
/// Events that go to the store at a time.
const BATCH: usize = 4096;

/// Reads a trace, judges it, and reports; the result is the exit status.
pub fn run(args: &AnalyzeArgs, out: &mut impl Write) -> Result<u8> {
    let reserved = match &args.out {
        Some(path) => Some(RunDir::reserve(Some(path), Path::new(""), "trace")?),
        None => None,
    };
    if let Some(home) = &args.home
        && !home.starts_with('/')
    {
        anyhow::bail!("--home {home} is no absolute path, as the traced program's home is");
    }
    let (trace, digest) = read(&args.strace)?;
    let (vars, said) = vars(args.home.as_deref(), &trace.home);
    let rules = super::rules::load(args.rules.as_deref(), &vars)?;
    let target = target(&args.strace, &trace, digest);
    let record = StageRecord {
        facts: &trace.facts,
        events: &trace.events,
    };
    let mut report = rules.judge(&target, &[record]);
    report.notes.push(said);
    report.notes.extend(not_asked(&rules));
    report.notes.extend(trace.notes.iter().cloned());
    let id = reserved.as_ref().map_or("", |(_, id)| id);
    let record = RunRecord::new(id.to_owned(), target);
    if let Some((run_dir, _)) = &reserved {
        report.run = Some(run_dir.info(&record));
        keep(run_dir, record, &trace, &report)?;
    } else {
        report.run = Some(RunInfo {
            made: record.made,
            ..RunInfo::default()
        });
    }
    match args.format {
        Format::Json => writeln!(out, "{}", report.to_json()?)?,
        Format::Table => {
            write!(out, "{}", render(&report, style()))?;
            if let Some((run_dir, _)) = &reserved {
                let path = run_dir.path().display().to_string();
                writeln!(out, "run: {}", pyti_analyzer::escape(&path))?;
            }
        }
    }
    out.flush()?;
    Ok(report.verdict.exit_status())
}

/// The rules that judge stages of our own and no trace. Some stand on what is known of the VM alone: that
/// no name is answered there, and which files are the user's and which the package's.
fn not_asked(rules: &RuleSet) -> Option<String> {
    let names: Vec<&str> = rules
        .rules()
        .iter()
        .filter(|rule| {
            let mut stages = rule.stages.iter();
            !rule.stages.is_empty() && !stages.any(|stage| stage == strace::STAGE)
        })
        .map(|rule| rule.id.as_str())
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "not asked, since their `stages` do not name `{}`: {}",
            strace::STAGE,
            names.join(", ")
        )
    })
}

/// The trace and the SHA-256 of what was read of it; `-` is standard input.
fn read(path: &Path) -> Result<(Trace, String)> {
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file =
            File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
        Box::new(file)
    };
    let mut input = Hashed {
        input,
        hasher: Sha256::new(),
    };
    let trace = strace::read(&mut input, Limits::default())
        .with_context(|| format!("failed to analyze {}", path.display()))?;
    Ok((trace, format!("{:x}", input.hasher.finalize())))
}

struct Hashed {
    input: Box<dyn Read>,
    hasher: Sha256,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

/// What rules mean by `$HOME`, and how that is known. `$WORK` keeps nothing that a trace can hold:
/// rules excuse what is done there.
fn vars(asked: Option<&str>, home: &Home) -> (Vars, String) {
    let (home, said) = match (asked, home) {
        (Some(home), _) => (
            home,
            format!("the home directory is {home}, as --home says"),
        ),
        (None, Home::Told(home)) => {
            let said =
                format!("the home directory is {home}, as the first program's environment says");
            (home.as_str(), said)
        }
        (None, Home::Guessed(home)) => {
            let said = format!(
                "the home directory is guessed to be {home}, where most paths lie: --home says better"
            );
            (home.as_str(), said)
        }
        (None, Home::Unknown) => {
            let said = "which home directory is meant the trace does not tell, and rules on files in it \
                        look for none: --home says it";
            ("/nonexistent", said.to_owned())
        }
    };
    let home = home.trim_end_matches('/');
    let work = WORK.strip_prefix(HOME).unwrap_or(WORK);
    let vars = Vars {
        work: format!("{home}{work}"),
        home: home.to_owned(),
    };
    (vars, said)
}

fn target(path: &Path, trace: &Trace, sha256: String) -> Target {
    let name = match &trace.command {
        Some(command) => pyti_analyzer::escape_within(&command.join(" "), TITLE),
        None => "a running process".to_owned(),
    };
    let file = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    Target {
        name,
        version: None,
        filename: file.or_else(|| Some("-".to_owned())),
        sha256: Some(sha256),
        source: Some(path.display().to_string()),
    }
}

/// Keeps events and report as a run, for `pyti show`.
fn keep(run_dir: &RunDir, mut record: RunRecord, trace: &Trace, report: &Report) -> Result<()> {
    let _held = run_dir.make()?;
    record.facts.stages.push(trace.facts.clone());
    run_dir.write_record(&record)?;
    let mut store = StoreWriter::create(&run_dir.stage(strace::STAGE)?)?;
    for events in trace.events.chunks(BATCH) {
        store.append(events)?;
    }
    if let Some(problem) = store.finish().problem {
        anyhow::bail!(
            "failed to store the events in {}: {problem}",
            run_dir.path().display()
        );
    }
    run_dir.write_json(REPORT, report)?;
    record.state = State::Finished;
    run_dir.write_record(&record)
}
