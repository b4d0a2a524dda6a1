//! Commands in the unpacked source of a package: `source.py` in the guest.

use std::collections::BTreeMap;

use pyti_analyzer::{amount, escape_within};
use pyti_graph::Failure;
use pyti_vm::Interpreter;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::few::Few;
use super::{Installed, Ran, program};
use crate::cli::LimitArgs;
use crate::order::{HOME, Order};

/// The program in the guest.
const SOURCE: &str = include_str!("source.py");
/// Kept of a stage's wall time for unpacking before and reporting after its commands.
const ASIDE: u64 = 60;
/// Names kept of what is too long.
const MOST_NAMED: usize = 10;
/// Bytes of one result that are brought back; as many as in `source.py` and `each_result.py`.
pub(super) const KEPT: u64 = 12 << 20;

/// A command.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Command {
    /// Program and arguments; `{source}`, `{work}` and `{wheel}` stand for places.
    pub argv: Vec<String>,
    /// Variables besides the stage's own.
    pub env: BTreeMap<String, String>,
    /// Where it runs, made where it is not there; else in the source's directory. `{source}` and `{work}`
    /// stand for places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Wall time that it may take; then it is interrupted.
    pub seconds: u64,
    /// It has no more of that than the one before it has left of its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shares: bool,
    /// The file in `{work}` that takes its standard output; else the stage's output does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
}

/// What is run.
#[derive(Debug, Serialize)]
pub(super) struct Commands<'a> {
    /// Path of the source distribution in the guest; nothing is unpacked without it.
    pub sdist: Option<String>,
    /// The installation may have made Python 3 of its sources: then that is run instead of them.
    pub converted: bool,
    /// Path of a wheel.
    pub wheel: Option<String>,
    /// The commands.
    pub commands: Vec<Command>,
    /// Directories in `{work}` that they expect to be there.
    pub directories: &'a [&'a str],
    /// Files or directories in `{work}` to bring back.
    pub results: &'a [&'a str],
}

/// How a command ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ended {
    /// Its exit status, where it ended by itself.
    pub exit: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its time was up.
    pub timed_out: bool,
    /// Why it could not be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Wall time in seconds.
    pub seconds: f64,
}

impl Ended {
    /// In a few words.
    pub(super) fn how(&self) -> String {
        match (self.exit, self.signal) {
            (Some(exit), _) => format!("exit status {exit}"),
            (None, Some(signal)) => format!("ended by signal {signal}"),
            (None, None) => "killed at its time limit (--wall SECONDS raises it)".to_owned(),
        }
    }
}

/// What came of the commands.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    /// The source's directory in the guest; empty where its name is no text.
    #[serde(default)]
    pub source: String,
    /// How they ended, in their order.
    pub commands: Vec<Ended>,
    /// What they wrote, by path in `{work}`.
    pub results: BTreeMap<String, String>,
    /// What they wrote and is too long to be brought back, by itself or beside the others: paths in
    /// `{work}`, and bytes.
    #[serde(default)]
    too_long: Few<(String, u64), MOST_NAMED>,
    /// How many files were left out of the directories that they wrote.
    #[serde(default)]
    left_out: u64,
    /// Why it may not be whole, where the stage did not come to its end.
    #[serde(skip)]
    pub cut: Option<String>,
}

impl Report {
    /// What is too long to be brought back, by path in `{work}`.
    pub fn too_long(&self) -> impl Iterator<Item = &str> {
        self.too_long.first.iter().map(|(name, _)| name.as_str())
    }

    /// What is not kept since it is too long or too much, one sentence each.
    pub fn not_kept(&self) -> impl Iterator<Item = String> {
        let too_long = self.too_long.first.iter().map(|(name, bytes)| {
            let name = escape_within(name, 100);
            match *bytes > KEPT {
                true => format!("{name} is not kept: its {bytes} bytes are more than 12 MiB"),
                false => format!("{name} is not kept: no room for its {bytes} bytes is left"),
            }
        });
        let more = self.too_long.more as u64;
        let more = (more > 0).then(|| {
            let more = amount(more, "other is", "others are");
            format!("{more} not kept, for the same reasons")
        });
        let left_out = (self.left_out > 0).then(|| {
            let files = amount(self.left_out, "file is", "files are");
            format!("{files} left out: 1000 of a directory are read, if their names are text")
        });
        too_long.chain(more).chain(left_out)
    }
}

/// The wall time of the main command, beside others that may take `after` seconds.
pub(super) fn seconds(limits: &LimitArgs, after: u64) -> u64 {
    limits.wall_seconds.saturating_sub(ASIDE + after).max(10)
}

/// The order to run the commands, where the package is installed unless they look only at its source.
pub(super) fn order(
    python: &Interpreter,
    stage: &str,
    commands: &Commands<'_>,
    installed: Option<&Installed>,
    limits: &LimitArgs,
) -> Result<Order, Failure> {
    #[derive(Serialize)]
    struct Input<'a> {
        #[serde(flatten)]
        commands: &'a Commands<'a>,
        site: String,
        modules: Vec<String>,
        imports: Vec<String>,
    }
    let target = installed.map(Installed::target).transpose()?;
    let (modules, imports) = target
        .map(|target| (target.top_level, target.imports))
        .unwrap_or_default();
    let input = Input {
        commands,
        site: format!("{HOME}/{}", python.user_site()),
        modules,
        imports,
    };
    let state = installed.map(|installed| installed.state.clone());
    program(python, stage, SOURCE, &input, state, limits).map_err(Failure::infrastructure)
}

/// What came of so many commands, and of what they wrote the files that were asked for: the rest of
/// the report is the package's to forge, names that lead elsewhere included.
pub(super) fn read(ran: &Ran, results: &[&str], commands: usize) -> Result<Report, Failure> {
    let (mut report, cut): (Report, _) = ran.result()?;
    let told = report.commands.len();
    report.cut = cut.or_else(|| {
        (told < commands).then(|| format!("its program told of {told} of {commands} commands"))
    });
    report.results.retain(|name, _| {
        let mut parts = name.splitn(2, '/');
        let first = parts.next().is_some_and(|first| results.contains(&first));
        first
            && parts
                .next()
                .is_none_or(|file| !file.contains('/') && file != "..")
    });
    Ok(report)
}

/// Whether a datum with the field `cut` is whole.
pub(super) fn cut_short(datum: &Value) -> Vec<String> {
    let cut = datum["cut"].as_str();
    cut.map(|why| format!("what it gave is not whole: {why}"))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use pyti_analyzer::StageStatus;
    use serde_json::{Value, json};

    use super::super::{RESULT_BYTES, hostile};
    use super::{Command, KEPT, SOURCE};
    use crate::order::guest_program;

    #[test]
    fn what_its_program_writes_is_not_more_than_what_is_read() {
        let bytes = |name: &str| -> u64 {
            let mut lines = SOURCE.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            let value = value.unwrap().split('#').next().unwrap();
            let (number, shift) = value.trim().split_once(" << ").unwrap();
            number.parse::<u64>().unwrap() << shift.parse::<u32>().unwrap()
        };
        assert_eq!(bytes("KEPT"), KEPT);
        // The names of a thousand files, and of those that are too long, want room as well.
        assert!(bytes("ROOM") + (4 << 20) < RESULT_BYTES);
    }

    /// What the program writes of this input, with the directory as its home.
    fn result_of(directory: &Path, input: &Value) -> String {
        let at = |name: &str| directory.join(name);
        fs::write(at("source.py"), guest_program(SOURCE)).unwrap();
        fs::write(at("in.json"), input.to_string()).unwrap();
        let status = std::process::Command::new("python3")
            .arg("-I")
            .args(["source.py", "in.json", "out.json"].map(at))
            .env("HOME", directory)
            .env("TMPDIR", directory)
            .status()
            .unwrap();
        assert!(status.success(), "{status}");
        fs::read_to_string(at("out.json")).unwrap()
    }

    #[test]
    fn of_a_namespace_package_only_its_own_part_is_copied_beside_its_sources() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let mut sdist = tar::Builder::new(fs::File::create(at("a.tar")).unwrap());
        for path in ["a-1/setup.py", "a-1/src/space/part/__init__.py"] {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_size(0);
            sdist
                .append_data(&mut header, path, std::io::empty())
                .unwrap();
        }
        sdist.finish().unwrap();
        for (package, file) in [
            ("site/space/part", "__init__.py"),
            ("site/space/part", "_fast.so"),
            ("site/space", "alone.cpython-313.so"),
            ("site/space", "aloneness.so"),
            ("site/space/other", "__init__.py"),
        ] {
            fs::create_dir_all(at(package)).unwrap();
            fs::write(at(package).join(file), "").unwrap();
        }
        let list = Command {
            argv: ["find", "src", "-type", "f"].map(str::to_owned).to_vec(),
            seconds: 60,
            stdout: Some("list".to_owned()),
            ..Command::default()
        };
        let input = json!({"sdist": at("a.tar"), "site": at("site"), "modules": ["space"],
            "imports": ["space.alone", "space.part"], "commands": [list], "results": ["list"]});
        let result = result_of(directory.path(), &input);
        let report = super::read(&hostile::ran(&result), &["list"], 1).unwrap();
        let mut files: Vec<&str> = report.results["list"].lines().collect();
        files.sort_unstable();
        let expected = [
            "src/space/alone.cpython-313.so",
            "src/space/part/__init__.py",
            "src/space/part/_fast.so",
        ];
        assert_eq!(files, expected);
    }

    #[test]
    fn what_tells_that_a_runner_did_not_end_comes_before_a_thousand_other_files() {
        let script =
            "cd \"$1\"; for at in $(seq 1200); do : > a$at.xml; done; echo x > results.jsonl";
        let argv = ["sh", "-c", script, "sh", "{work}/junit"];
        let fill = Command {
            argv: argv.map(str::to_owned).to_vec(),
            seconds: 60,
            ..Command::default()
        };
        let directory = tempfile::tempdir().unwrap();
        let input = json!({"commands": [fill], "directories": ["junit"], "results": ["junit"]});
        let result = result_of(directory.path(), &input);
        let report = super::read(&hostile::ran(&result), &["junit"], 1).unwrap();
        assert_eq!(report.results["junit/results.jsonl"], "x\n");
        assert_eq!(report.results.len(), 1000);
    }

    #[test]
    fn commands_that_share_their_time_end_with_it() {
        let command = |script: &str, seconds, shares| Command {
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            seconds,
            shares,
            ..Command::default()
        };
        let commands = [
            command("sleep 600", 1, false),
            command("exit 2", 60, true),
            command("exit 3", 60, false),
            command("exit 4", 0, true),
        ];
        let directory = tempfile::tempdir().unwrap();
        let result = result_of(directory.path(), &json!({"commands": commands}));
        let report = super::read(&hostile::ran(&result), &[], commands.len()).unwrap();
        let ended = report.commands.iter();
        let ended: Vec<_> = ended.map(|ended| (ended.exit, ended.timed_out)).collect();
        assert_eq!(
            ended,
            [
                (None, true),
                // Nothing was left for it.
                (None, true),
                (Some(3), false),
                (Some(4), false)
            ]
        );
        assert_eq!(report.commands[1].seconds, 0.0);
        assert_eq!(report.cut, None);
    }

    #[test]
    fn results_that_nobody_asked_for_are_dropped() {
        let ran = hostile::ran(
            r#"{"commands": [], "results": {"a.json": "1", "/etc/passwd": "2", "../a.json": "3",
            "junit/x.xml": "4", "junit/../x": "5", "junit/..": "6"}}"#,
        );
        let report = super::read(&ran, &["a.json", "junit"], 0).unwrap();
        let names: Vec<&String> = report.results.keys().collect();
        assert_eq!(names, ["a.json", "junit/x.xml"]);
        assert_eq!(report.cut, None);
    }

    #[test]
    fn a_report_that_is_not_whole_says_so() {
        let one = r#"{"commands": [{"exit": 0, "signal": null, "timed_out": false, "seconds": 1}],
            "results": {}}"#;
        let cut = |status, commands| {
            let report = super::read(&hostile::ended(status, one), &[], commands);
            report.unwrap().cut
        };
        assert_eq!(cut(StageStatus::Completed, 1), None);
        assert_eq!(cut(StageStatus::TimedOut, 1).as_deref(), Some("timed out"));
        assert_eq!(
            cut(StageStatus::Completed, 2).as_deref(),
            Some("its program told of 1 of 2 commands")
        );
    }

    #[test]
    fn what_is_too_long_is_told_and_cuts_nothing_short() {
        let ran = hostile::ran(
            r#"{"commands": [], "results": {}, "too_long": [["a\u001b.xml", 12582913]]}"#,
        );
        let report = super::read(&ran, &["a.xml"], 0).unwrap();
        assert_eq!(report.cut, None);
        let told: Vec<String> = report.not_kept().collect();
        let expected = "a\\u{1b}.xml is not kept: its 12582913 bytes are more than 12 MiB";
        assert_eq!(told, [expected]);
    }

    #[test]
    fn nothing_of_what_is_too_much_is_left_out_in_silence() {
        let told = |too_long: usize, left_out: u64| -> Vec<String> {
            let too_long = vec![("junit/a.xml", 4_000_000); too_long];
            let result = json!({"commands": [], "results": {}, "too_long": too_long,
                "left_out": left_out});
            let ran = hostile::ran(&result.to_string());
            let report = super::read(&ran, &["junit"], 0).unwrap();
            report.not_kept().collect()
        };
        assert_eq!(told(0, 0), Vec::<String>::new());
        let one = "junit/a.xml is not kept: no room for its 4000000 bytes is left";
        assert_eq!(told(1, 0), [one]);
        let many = told(13, 500);
        assert_eq!(many[..10], [one; 10]);
        assert_eq!(
            many[10..],
            [
                "3 others are not kept, for the same reasons",
                "500 files are left out: 1000 of a directory are read, if their names are text"
            ]
        );
    }
}
