//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

const AFTER: &str = "\
Events go to standard output, or to FILE with --output. What the command prints is never among them: \
without --output its standard output goes to standard error too. What pyti-trace itself has to say \
goes to standard error: which probes this kernel refuses, and what is not seen without them.

The table is printed when the command has ended, with what was lost of each family of events and with \
the processes that the events refer to but that ran before. JSON lines are printed as events come, in \
the schema of PyTI's store; the last line is {\"summary\": …} and holds the rest.

Ctrl-C ends the command; what was recorded until then is printed. Children that outlive the command \
are left running, told, and no longer followed.

A file that is mapped for execution is recorded only where root does not own it, or where it was or may \
be changed in memory: libraries of the system are mapped by the dozen. So a library that a command run \
by root brings along is not seen as such; that it is written and opened is.

Exit status: the command's own; 128 and the signal's number where a signal ended it; 2 where \
pyti-trace itself failed, which standard error then says.";

/// Runs a command and shows what the kernel saw of it and of its children: files, programs,
/// processes, network, memory, privileges. Needs root and a kernel with BTF. The command runs on this
/// host itself, with the rights of who calls: what is not trusted belongs into `pyti audit`.
#[derive(Debug, clap::Parser)]
#[command(name = "pyti-trace", version, after_help = AFTER)]
pub(super) struct Args {
    /// How events are written.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(super) format: Format,
    /// Write the events to this file, and leave the command its standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// The command and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND"
    )]
    pub(super) command: Vec<OsString>,
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A table for a reader.
    Table,
    /// JSON, an object per line.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_follows_the_command_is_the_commands() {
        for line in [
            &["pyti-trace", "--format", "json", "--", "sh", "-c", "--x"][..],
            &["pyti-trace", "--format", "json", "sh", "-c", "--x"],
        ] {
            let args = Args::try_parse_from(line).unwrap();
            assert_eq!(args.format, Format::Json);
            assert_eq!(args.command, ["sh", "-c", "--x"]);
        }
        assert!(Args::try_parse_from(["pyti-trace"]).is_err());
    }
}
