//! What keeps a trace from being whole, and what its reader should know.

use std::collections::BTreeSet;

use pyti_trace::event::Family;
use pyti_trace::names::family_name;

use crate::text::amount;

/// Calls that every program makes at its start and that strace puts in none of its classes
/// (`%file`, `%network`, …): a trace without any was recorded with a filter.
const CLASSLESS: &[&str] = &[
    "set_robust_list",
    "set_tid_address",
    "prlimit64",
    "getrandom",
    "rseq",
    "futex",
    "ugetrlimit",
];
/// What every dynamically linked program does, by any of these.
const USUAL: &[(&str, &[&str])] = &[
    ("opens files", &["open", "openat", "openat2"]),
    ("closes descriptors", &["close"]),
    ("maps memory", &["mmap", "mmap2", "old_mmap"]),
    ("reads", &["read", "pread64", "readv"]),
];

/// How the recording is asked for; messages say it where something is missing.
pub const ADVICE: &str = "strace -f -ttt -y -yy -v -s 4096 -o FILE COMMAND";

/// What was noticed while the trace was read.
#[derive(Debug, Default)]
pub struct Doubts {
    /// Names of calls, as far as they matter here.
    seen: BTreeSet<&'static str>,
    /// A call failed.
    pub any_failed: bool,
    /// A descriptor was shown with what it stands for.
    pub any_shown: bool,
    /// A program was executed.
    pub any_exec: bool,
    /// The lines stood among other output.
    pub mixed: bool,
    /// Lines did not name their process.
    pub unnumbered: bool,
    /// Arguments of a program, or bytes, were cut.
    pub cut: bool,
    /// Environments were not shown.
    pub env_hidden: bool,
    /// io_uring was set up.
    pub ring: bool,
    /// A process has a user namespace of its own.
    pub user_namespace: bool,
    /// One was refused.
    pub namespace_refused: bool,
    /// Reads and writes were queued by io_submit.
    pub queued: bool,
    /// A file was given the content of another one.
    pub cloned: bool,
    /// By family, in the order of [`Family::ALL`]: a call of it is an event.
    pub told: [bool; Family::ALL.len()],
    /// A process ended by itself, and by a call that says so.
    pub exited: bool,
    /// A process ended by itself.
    pub any_end: bool,
    /// The last line has no end.
    pub torn: bool,
    /// The first process was there before the trace began.
    pub attached: bool,
    /// Processes that nobody in the trace forked, besides the first.
    pub strangers: u64,
    /// Children of which no line tells.
    pub unfollowed: u64,
    /// Processes that had not ended where the trace ends.
    pub unended: u64,
    /// Calls for which no process could be told.
    pub unassigned: u64,
    /// Calls that may have been done, and are no event for that.
    pub unended_calls: u64,
    /// Why the rest of the trace was not read.
    pub limit: Option<String>,
}

impl Doubts {
    /// A call of this name was seen.
    pub fn call(&mut self, name: &str) {
        self.exited |= ["exit_group", "exit"].contains(&name);
        let known = CLASSLESS
            .iter()
            .chain(USUAL.iter().flat_map(|(_, names)| *names))
            .find(|known| **known == name);
        if let Some(known) = known {
            self.seen.insert(known);
        }
    }

    /// One sentence for each thing that keeps the record from being whole.
    pub fn problems(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut say = |text: String| out.push(text);
        if let Some(limit) = &self.limit {
            say(limit.clone());
        }
        if self.torn {
            say("the last line of the trace has no end: its writer was stopped".to_owned());
        }
        if self.attached {
            say(
                "the first process ran before the trace began, so what it did earlier was not seen"
                    .to_owned(),
            );
        }
        if self.any_exec {
            self.filtered(&mut say);
        }
        if !self.any_shown {
            say(format!(
                "descriptors stand without their paths, so few paths are known: record with {ADVICE}"
            ));
        }
        if self.mixed {
            say(
                "the trace was written to standard error, where the traced program can write lines \
                 of its own: record with -o FILE"
                    .to_owned(),
            );
        } else if self.unnumbered {
            say(
                "lines of the trace name no process: it was recorded without -f, where children are \
                 missing, or without -o FILE, where the traced program can write lines of its own: record \
                 with -f and -o FILE"
                    .to_owned(),
            );
        }
        if self.unfollowed > 0 {
            say(format!(
                "{} followed: record with -f",
                amount(
                    self.unfollowed,
                    "child process was not",
                    "child processes were not"
                )
            ));
        }
        if self.strangers > 0 {
            say(format!(
                "of {} the trace does not tell who started it",
                amount(self.strangers, "process", "processes")
            ));
        }
        if self.unended > 0 {
            say(format!(
                "{} ended where the trace ends",
                amount(self.unended, "process had not", "processes had not")
            ));
        }
        if self.unassigned > 0 {
            say(format!(
                "{} could not be told from whom: record with -f and -o FILE",
                amount(self.unassigned, "line", "lines")
            ));
        }
        if self.unended_calls > 0 {
            say(format!(
                "what came of {} the trace does not tell",
                amount(self.unended_calls, "call", "calls")
            ));
        }
        if self.ring {
            say(
                "a process set up io_uring, and what is done through it strace does not see"
                    .to_owned(),
            );
        }
        if self.queued {
            say(
                "a process queued reads and writes (io_submit), and what came of them strace does not tell"
                    .to_owned(),
            );
        }
        if self.cloned {
            say(
                "a file was given the content of another one (ioctl FICLONE), which strace does not show"
                    .to_owned(),
            );
        }
        out
    }

    fn filtered(&self, say: &mut impl FnMut(String)) {
        let missing: Vec<&str> = USUAL
            .iter()
            .filter(|(_, names)| !names.iter().any(|name| self.seen.contains(name)))
            .map(|(what, _)| *what)
            .collect();
        if !missing.is_empty() {
            say(format!(
                "no call in it {}, as every program does: it was recorded with a filter \
                 (-e trace=…), and what that left out is not known",
                missing.join(" or ")
            ));
        } else if !CLASSLESS.iter().any(|name| self.seen.contains(name)) {
            say(
                "calls that every program makes at its start are missing: it was recorded with a \
                 filter (-e trace=…), and what that left out is not known"
                    .to_owned(),
            );
        }
        if self.any_end && !self.exited {
            say(
                "processes end without a call that ends them: it was recorded with a filter (-e trace=…), \
                 and what that left out is not known"
                    .to_owned(),
            );
        }
        if !self.any_failed {
            say(
                "no call in it failed, as some of every program do: it was recorded with a filter \
                 (-z), and what failed is not known"
                    .to_owned(),
            );
        }
    }

    /// One sentence for each thing that a reader should know.
    pub fn notes(&self) -> Vec<String> {
        let mut out = vec![
            "strace does not tell link counts and inodes of programs (but from a stat of them, with \
             -v), interpreters of scripts, or user ids and capabilities before a call names them: \
             for rules they are unknown, not false; who took rights without a call it cannot tell, and \
             no rule asks"
                .to_owned(),
            "programs stand under the names by which they were run; symbolic links that were there \
             before the trace began are followed only where strace shows the file behind them"
                .to_owned(),
            "whether single calls were left out (-e trace=!…) a trace does not tell".to_owned(),
        ];
        let families = Family::ALL.into_iter().zip(self.told);
        let silent: Vec<&str> = families
            .filter(|(_, told)| !told)
            .map(|(family, _)| family_name(family))
            .collect();
        if !silent.is_empty() {
            out.push(format!(
                "there is no {} event in it: whether there was none or it was not recorded looks the same",
                silent.join(" and no ")
            ));
        }
        if self.user_namespace {
            out.push(
                "a process had a user namespace of its own: who its user ids there are outside of it, and \
                 which capabilities it has, strace does not tell, and for rules they are unknown, not false"
                    .to_owned(),
            );
        }
        if self.namespace_refused {
            out.push(
                "a user namespace was refused: whether for want of a capability strace does not tell, and \
                 there is no event of it"
                    .to_owned(),
            );
        }
        if self.env_hidden {
            out.push("environments were not recorded: option -v of strace shows them".to_owned());
        }
        if self.cut {
            out.push(
                "arguments or bytes were cut by strace, and rules that need more of them are \
                 undecided: a larger number after -s than it was recorded with shows more (-s 4096 mostly \
                 does)"
                    .to_owned(),
            );
        }
        out
    }
}
