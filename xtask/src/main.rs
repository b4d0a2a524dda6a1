//! PyTI's development tasks: `cargo xtask setup|build|image|audit|test|lint|bench|matrix|ci`.
//!
//! Every task is idempotent, does the tasks it stands on first, and says what it does.

mod apt;
#[expect(
    dead_code,
    reason = "building the probes is the build script's part of it"
)]
mod bpf;
mod build;
mod check;
mod setup;
mod sh;

use std::process::ExitCode;

use check::Images;
use clap::{Parser, Subcommand};

/// PyTI's development tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find what is missing on this machine and install it.
    Setup,
    /// Build the probes, the agent and `pyti`.
    Build,
    /// Build the guest image.
    Image,
    /// Set up, build, and audit a package: `cargo xtask audit simplejson==3.19.3`.
    Audit {
        /// What `pyti audit` takes.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        args: Vec<String>,
    },
    /// Set up, build, and pass the tests.
    Test {
        /// Only the tests that need no VM.
        #[arg(long)]
        no_vm: bool,
        /// No test of another image than the usual one: each is built first, which takes minutes.
        #[arg(long, conflicts_with = "images")]
        no_images: bool,
        /// Also the tests that continuous integration has no time for, of further images among them.
        #[arg(long, conflicts_with = "no_vm")]
        images: bool,
        /// Only the tests whose name contains this.
        filter: Option<String>,
    },
    /// Format and clippy, warnings as errors.
    Lint,
    /// Measure, as ratios within one run; exit status 1 where an aim is missed.
    Bench {
        /// What `pyti-bench` takes: --repeat, --only, --no-strace, --burst-seconds.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Print which actions, by which roads, are on record.
    Matrix,
    /// What continuous integration runs: lint, then test.
    Ci,
}

fn main() -> ExitCode {
    sh::began();
    let result = match Args::parse().task {
        Task::Setup => setup::setup().map(|()| sh::say("everything is there")),
        Task::Build => setup::setup().and_then(|()| build::build()),
        Task::Image => ready(),
        Task::Audit { args } => ready().and_then(|()| match build::become_pyti("audit", &args)? {}),
        Task::Test {
            no_vm,
            no_images,
            images,
            filter,
        } => {
            let images = match (no_images, images) {
                (true, _) => Images::None,
                (_, true) => Images::All,
                _ => Images::Usual,
            };
            test(no_vm, images, filter.as_deref())
        }
        Task::Lint => lint(),
        Task::Bench { args } => ready().and_then(|()| match check::bench(&args)? {}),
        Task::Matrix => ready().and_then(|()| match check::matrix()? {}),
        Task::Ci => lint().and_then(|()| test(false, Images::Usual, None)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Everything an audit stands on.
fn ready() -> anyhow::Result<()> {
    setup::setup()?;
    build::build()?;
    build::image()
}

fn lint() -> anyhow::Result<()> {
    setup::setup()?;
    setup::lint_tools()?;
    check::lint()
}

fn test(no_vm: bool, images: Images, filter: Option<&str>) -> anyhow::Result<()> {
    setup::setup()?;
    build::build()?;
    check::test_without_vm(filter)?;
    if no_vm {
        return Ok(());
    }
    build::image()?;
    check::test_with_vm(filter, images)
}
