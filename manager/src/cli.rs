//! The command line as typed. What it means is checked in the commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pyti_trace::wire::{USUAL_MEMORY_BYTES, USUAL_PIDS};

use crate::tasks;

/// What the environment decides.
const ENVIRONMENT: &str = "Environment: PYTI_HOME is a directory for images, caches and runs, instead of \
~/.cache/pyti and ~/.local/share/pyti. NO_COLOR, set to anything, keeps reports free of colours. COLUMNS is \
the width of a report where no terminal tells it.";

/// Finds out what a Python package really does, before anyone installs it.
///
/// Exit status of audit and analyze: 0 unremarkable, 1 suspicious or malicious, 2 the tool or its input
/// failed, 3 inconclusive. Of the other commands: 0 done, 2 failed.
///
/// Ctrl-C, or SIGTERM, ends the stage that runs, and audit reports what there is: 1 or 3, or 2 where no
/// stage had begun. A second one ends it at once: 130.
#[derive(Debug, Parser)]
#[command(name = "pyti", version, after_help = ENVIRONMENT)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Install a package in an isolated VM, watch it, and judge what it did.
    Audit(AuditArgs),
    /// Show the tasks that an audit would run, before anything runs.
    Plan(PlanArgs),
    /// Judge a trace that was made elsewhere.
    ///
    /// Record it with `strace -f -ttt -y -yy -v -s 4096 -o FILE COMMAND`. What strace does not tell is
    /// unknown to the rules, never false.
    Analyze(AnalyzeArgs),
    /// Show a run: its report, its processes, its events, what it printed, what a stage gave.
    Show(ShowArgs),
    /// List the runs: verdict, time, target, id.
    Runs,
    /// Check, test and list detection rules.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Build, list and remove guest images.
    #[command(subcommand)]
    Image(ImageCommand),
    /// What this host has, what is missing, what to type.
    Doctor,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs, `pyti.report/1`.
    Json,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressArg {
    /// Live on a terminal, nothing elsewhere.
    Auto,
    /// A line for each change.
    Log,
    /// Nothing.
    None,
}

/// What runs the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccelArg {
    /// KVM where a boot proves that it works, emulation elsewhere.
    Auto,
    /// KVM or nothing.
    Kvm,
    /// Emulation.
    Tcg,
    /// Emulation whose clock counts instructions: for the benchmark, no choice on a command line.
    #[value(skip)]
    Counted,
}

/// What is audited, from where, and in which machine.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// name, name==version, pkg:pypi/name@version, or the path of an sdist, a wheel or a directory: with
    /// a / in it (./NAME), or ending like a distribution (.tar.gz, .whl, .zip …). No URL.
    pub target: String,
    /// Audit the wheel that the index has rather than the sdist.
    #[arg(long)]
    pub wheel: bool,
    /// The package index (PEP 691), as pip takes it, instead of those that uv's and pip's variables and
    /// pip's configuration files name.
    #[arg(long, value_name = "URL")]
    pub index_url: Option<String>,
    /// Guest image: a name, or the path of a definition file. trixie unless --python says otherwise.
    #[arg(long, value_name = "NAME")]
    pub image: Option<String>,
    /// Version of Python, such as 2.7, 3.9, 3.11 or 3.13: picks the image that has it.
    #[arg(long, value_name = "VERSION")]
    pub python: Option<String>,
    /// What runs the VM.
    #[arg(long, value_enum, default_value_t = AccelArg::Auto)]
    pub accel: AccelArg,
    /// Which stages.
    #[command(flatten)]
    pub stages: StageArgs,
    /// Run every stage, also those that were run before and that nothing has changed for since.
    #[arg(long)]
    pub fresh: bool,
    /// A requirement that the package's build asks for only when it runs, such as setup_requires that
    /// setup.py computes, to be fetched beforehand; may be given several times.
    #[arg(long, value_name = "REQUIREMENT", value_parser = pyti_index::check_requirement)]
    pub build_requires: Vec<String>,
    /// What runs the tests in the source's directory, where the stages test and coverage would guess
    /// wrong.
    #[arg(long, value_name = "COMMAND")]
    pub test_command: Option<String>,
    /// Virtual machines at a time; fewer where the host has no memory for them.
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub vms: u32,
    /// Bounds of each stage.
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// The stages that an audit comes to the end of, with all that they need.
#[derive(Debug, Args)]
pub struct StageArgs {
    /// A stage to run besides the installation; may be given several times.
    #[arg(long = "stage", value_name = "STAGE", value_parser = stage_name, help = stage_help())]
    pub stages: Vec<&'static str>,
    /// Every stage that there is.
    #[arg(long, conflicts_with = "stages")]
    pub all_stages: bool,
}

impl StageArgs {
    /// Their names, each once.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let mut names = vec![crate::order::INSTALL];
        if self.all_stages {
            names = tasks::stage_names();
        }
        for &stage in &self.stages {
            // It looks at the wheel that a build made, and waits for a build only where one is asked
            // for, since a wheel that is audited needs none.
            let before = (stage == "quality-wheel").then_some("build");
            for name in before.into_iter().chain([stage]) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }
}

fn stage_help() -> String {
    format!(
        "A stage to run besides the installation; may be given several times: {}",
        tasks::stage_names().join(", ")
    )
}

fn stage_name(text: &str) -> Result<&'static str, String> {
    let names = tasks::stage_names();
    let known = names.iter().copied().find(|&name| name == text);
    known.ok_or_else(|| format!("there is {}", names.join(", ")))
}

/// `pyti audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// What is audited.
    #[command(flatten)]
    pub what: TargetArgs,
    /// Report format.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Rule files to use instead of the built-in ones: a directory, or one file.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// Directory of the run, which must not exist yet.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Progress on standard error.
    #[arg(long, value_enum, default_value_t = ProgressArg::Auto)]
    pub progress: ProgressArg,
}

/// How a plan is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people: a line for each task.
    Text,
    /// For Graphviz.
    Dot,
    /// For Mermaid.
    Mermaid,
    /// For programs, `pyti.plan/1`.
    Json,
}

/// `pyti plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// What would be audited.
    #[command(flatten)]
    pub what: TargetArgs,
    /// Format of the plan.
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    pub format: PlanFormat,
}

/// Title of the limits: one for each of them, so that it is no title of what follows.
const LIMITS: &str = "Limits of a stage";

/// Bounds of a stage.
#[derive(Debug, Clone, Args)]
pub struct LimitArgs {
    /// Wall time in seconds.
    #[arg(help_heading = LIMITS, long = "wall", value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub wall_seconds: u64,
    /// Memory of the package's processes in MiB. Over 1536 the virtual machine is larger than usual, and
    /// one of each size is booted before it is used.
    #[arg(help_heading = LIMITS, long = "memory", value_name = "MIB", default_value_t = USUAL_MEMORY_BYTES >> 20, value_parser = clap::value_parser!(u64).range(64..=32_768))]
    pub memory_mib: u64,
    /// Processes and threads at a time.
    #[arg(help_heading = LIMITS, long, value_name = "COUNT", default_value_t = USUAL_PIDS, value_parser = clap::value_parser!(u64).range(16..=16_384))]
    pub pids: u64,
    /// KiB kept of each output.
    #[arg(help_heading = LIMITS, long = "output", value_name = "KIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    pub output_kib: u64,
    /// Events kept; the rest is counted as lost.
    #[arg(help_heading = LIMITS, long = "events", value_name = "COUNT", default_value_t = 5_000_000)]
    pub events: u64,
}

/// `pyti analyze`.
#[derive(Debug, Args)]
pub struct AnalyzeArgs {
    /// What strace wrote; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub strace: PathBuf,
    /// Rule files to use instead of the built-in ones: a directory, or one file.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// The traced program's home directory, where the trace does not tell it.
    #[arg(long, value_name = "DIR")]
    pub home: Option<String>,
    /// Report format.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Keep events and report as a run in this directory, which must not exist yet.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `pyti show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The run's directory or id; `last` is the newest.
    #[arg(default_value = "last")]
    pub run: String,
    /// The processes, each with its parent, times and end.
    #[arg(long, conflicts_with_all = ["events", "output", "finding"])]
    pub tree: bool,
    /// Every event in order.
    #[arg(long, conflicts_with_all = ["output", "finding"])]
    pub events: bool,
    /// What the stages printed, escaped.
    #[arg(long, conflicts_with = "finding")]
    pub output: bool,
    /// Only this stage; alone: what it gave, the content of its data.json.
    #[arg(long, value_name = "STAGE", conflicts_with = "finding")]
    pub stage: Option<String>,
    /// One finding with all of its proof, by its number in the report.
    #[arg(long, value_name = "NUMBER")]
    pub finding: Option<usize>,
    /// Format; JSON events and lines of output are one object per line, and a tree has none.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// `pyti rules`.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Read rule files and say what is wrong with them.
    Check {
        /// Directory of rule files, or one of them; the built-in rules without it.
        dir: Option<PathBuf>,
    },
    /// Run every rule over its own traces: those that must fire it and those that must not.
    Test {
        /// Directory of rule files, or one of them; the built-in rules without it.
        dir: Option<PathBuf>,
    },
    /// Every rule with its severity.
    List {
        /// Directory of rule files, or one of them; the built-in rules without it.
        dir: Option<PathBuf>,
    },
}

/// `pyti image`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Build an image and its template; nothing is done where both exist.
    Build {
        /// Its name.
        #[arg(default_value = "trixie")]
        name: String,
    },
    /// The images that are built, and those that could be.
    List,
    /// Remove an image and its templates.
    Rm {
        /// Its name.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn help(command: &str) -> String {
        let mut cli = Cli::command();
        let command = cli.find_subcommand_mut(command).unwrap();
        command.render_long_help().to_string()
    }

    #[test]
    fn only_limits_stand_under_their_title() {
        let help = help("audit");
        let (_, limits) = help.split_once("Limits of a stage:").unwrap();
        for option in ["--format", "--rules", "--out ", "--progress", "--stage"] {
            assert!(!limits.contains(option), "{option}: {limits}");
        }
        for option in ["--wall", "--memory", "--pids", "--output", "--events"] {
            assert!(limits.contains(option), "{option}: {limits}");
        }
    }

    #[test]
    fn to_look_at_the_wheel_is_to_ask_for_its_build() {
        let names = |words: &[&str]| {
            let words = [&["pyti", "plan", "six"][..], words].concat();
            match Cli::try_parse_from(words).unwrap().command {
                Command::Plan(plan) => plan.what.stages.names(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(names(&[]), ["install"]);
        let wheel = ["--stage", "quality-wheel"];
        assert_eq!(names(&wheel), ["install", "build", "quality-wheel"]);
        let before = ["--stage", "test", "--stage", "install"];
        let after = ["--stage", "build", "--stage", "test"];
        assert_eq!(
            names(&[&before[..], &wheel, &after].concat()),
            ["install", "test", "build", "quality-wheel"]
        );
        assert_eq!(names(&["--all-stages"]), tasks::stage_names());
        // What is asked for so is there.
        let all = tasks::stage_names();
        for name in names(&wheel) {
            assert!(all.contains(&name), "{name}");
        }
    }

    #[test]
    fn help_names_what_can_be_typed() {
        let audit = help("audit");
        for stage in tasks::stage_names() {
            assert!(audit.contains(stage), "{stage}: {audit}");
        }
        assert!(help("analyze").contains("strace -f -ttt"));
        let all = Cli::command().render_long_help().to_string();
        assert!(all.contains("PYTI_HOME"), "{all}");
        assert!(all.contains("Exit status of audit and analyze"), "{all}");
    }
}
