//! Commands that run one after the other in one clone, each bounded: `each.py` in the guest.

use pyti_graph::Failure;
use pyti_vm::Interpreter;
use serde::{Deserialize, Serialize};

use super::few::Few;
use super::{Ran, program};
use crate::cli::LimitArgs;
use crate::data_store::Blob;
use crate::order::Order;

/// Texts of an answer that are kept.
const MOST_ANSWERS: usize = 10_000;
/// The program in the guest.
const SOURCE: &str = include_str!("each.py");

/// A command.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Command {
    /// What its outcome is called.
    pub name: String,
    /// Program and arguments; `{answer}` stands for a file that it may write a list of texts to, as JSON.
    pub argv: Vec<String>,
    /// Wall time that it may take.
    pub seconds: u64,
}

/// How a command ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ended {
    /// See [`Command::name`].
    pub name: String,
    /// Its exit status, where it ended by itself.
    pub exit: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its time was up, and it was killed.
    pub timed_out: bool,
    /// The stage ended before it did: it ran for a while, or never.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unwatched: bool,
    /// Why it could not be started, or is not told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Wall time in seconds.
    pub seconds: f64,
    /// The beginning of its standard output.
    pub stdout: String,
    /// The beginning of its standard error.
    pub stderr: String,
    /// An output was longer than what is kept.
    pub cut: bool,
    /// What it wrote as its answer; what is made of that is in the stage's own datum.
    #[serde(default, skip_serializing)]
    pub answer: Option<Few<String, MOST_ANSWERS>>,
}

/// The order to run the commands from a state.
pub(super) fn order(
    python: &Interpreter,
    stage: &str,
    commands: &[Command],
    state: Blob,
    limits: &LimitArgs,
) -> Result<Order, Failure> {
    program(python, stage, SOURCE, &commands, Some(state), limits).map_err(Failure::infrastructure)
}

/// How the commands ended; those that are not told of are unwatched.
pub(super) fn read(ran: &Ran, commands: &[Command]) -> Result<Vec<Ended>, Failure> {
    let (mut ended, cut): (Vec<Ended>, _) = ran.result()?;
    let strange = |(ended, command): (&Ended, &Command)| ended.name != command.name;
    if ended.len() > commands.len() || ended.iter().zip(commands).any(strange) {
        return Err(Failure::package(
            "its result tells of other commands than those that it was to run",
        ));
    }
    let why = cut.unwrap_or_else(|| "its program did not tell of it".to_owned());
    let rest = commands.iter().skip(ended.len());
    ended.extend(
        rest.map(|command| Ended::unwatched(command, &why))
            .collect::<Vec<_>>(),
    );
    Ok(ended)
}

/// What was not watched to its end: commands by their time limits, the rest by the stage's end.
pub(super) fn cut_short(ended: &[Ended]) -> Vec<String> {
    let late = ended.iter().filter(|command| command.timed_out);
    let late = late.map(|command| format!("`{}` was cut short by its time limit", command.name));
    let mut unwatched = ended.iter().filter(|command| command.unwatched);
    let count = unwatched.clone().count();
    let first = unwatched.next().map(|command| {
        format!(
            "{count} of {} commands were not watched to their end, the first of them `{}`",
            ended.len(),
            command.name
        )
    });
    late.chain(first).collect()
}

impl Ended {
    /// How a command ended of which nothing is told.
    fn unwatched(command: &Command, why: &str) -> Self {
        Self {
            name: command.name.clone(),
            exit: None,
            signal: None,
            timed_out: false,
            unwatched: true,
            error: Some(why.to_owned()),
            seconds: 0.0,
            stdout: String::new(),
            stderr: String::new(),
            cut: false,
            answer: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use pyti_analyzer::StageStatus;

    use super::super::hostile;
    use super::*;
    use crate::order::guest_program;

    const ONE: &str = r#"{"name": "a", "exit": 0, "signal": null, "timed_out": false, "seconds": 1,
        "stdout": "", "stderr": "", "cut": false}"#;

    fn commands() -> Vec<Command> {
        let command = |name: &str| Command {
            name: name.to_owned(),
            argv: vec![],
            seconds: 1,
        };
        ["a", "b", "c"].map(command).to_vec()
    }

    #[test]
    fn what_came_before_a_time_out_is_kept_and_the_rest_is_missed() {
        let ran = hostile::ended(StageStatus::TimedOut, &format!("[{ONE}]"));
        let ended = read(&ran, &commands()).unwrap();
        let names: Vec<_> = ended
            .iter()
            .map(|ended| (&*ended.name, ended.exit, ended.unwatched))
            .collect();
        assert_eq!(
            names,
            [("a", Some(0), false), ("b", None, true), ("c", None, true)]
        );
        assert_eq!(ended[1].error.as_deref(), Some("timed out"));
        assert_eq!(
            cut_short(&ended),
            ["2 of 3 commands were not watched to their end, the first of them `b`"]
        );
    }

    /// What the program itself says of commands that are no package's.
    fn run(commands: &[Command]) -> Vec<Ended> {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("each.py"), guest_program(SOURCE)).unwrap();
        fs::write(at("in.json"), serde_json::to_vec(commands).unwrap()).unwrap();
        let status = std::process::Command::new("python3")
            .arg("-I")
            .args(["each.py", "in.json", "out.json"].map(at))
            .env("TMPDIR", directory.path())
            .status()
            .unwrap();
        assert!(status.success(), "{status}");
        let result = fs::read_to_string(at("out.json")).unwrap();
        read(&hostile::ran(&result), commands).unwrap()
    }

    #[test]
    fn an_answer_that_is_no_list_of_texts_is_none_and_harms_no_other() {
        let command = |script: &str, words: &[&str]| Command {
            name: script.to_owned(),
            argv: [&["sh", "-c", script], words]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            seconds: 60,
        };
        let deep = "[".repeat(100_000);
        let long = format!(r#"["{}"]"#, "x".repeat(100_000));
        let answers = [
            "1",
            r#"["a", 1]"#,
            r#"{"a": "b"}"#,
            r#"["\ud800"]"#,
            "[\"a\"",
            "",
            &deep,
            "[]",
            r#"["a", "\u00e9"]"#,
            &long,
        ];
        let says = r#"printf %s "$1" > "$0""#;
        let answers = answers.map(|text| command(says, &["{answer}", text]));
        let mut commands = answers.to_vec();
        commands.push(command(r#"mkfifo "$0""#, &["{answer}"]));
        commands.push(command(r#"mkdir "$0""#, &["{answer}"]));
        commands.push(command(r#"ln -s /dev/zero "$0""#, &["{answer}"]));
        // Nobody asked this one.
        commands.push(command("echo '[]' > answer", &[]));
        let ended = run(&commands);
        assert!(ended.iter().all(|ended| ended.exit == Some(0)), "{ended:?}");
        let told: Vec<Option<usize>> = ended
            .iter()
            .map(|ended| Some(ended.answer.as_ref()?.first.len()))
            .collect();
        let mut expected = vec![None; ended.len()];
        expected[7..10].copy_from_slice(&[Some(0), Some(2), Some(1)]);
        assert_eq!(told, expected);
        assert_eq!(ended[8].answer.as_ref().unwrap().first, ["a", "é"]);
    }

    #[test]
    fn a_command_without_end_is_killed_at_its_bound_and_the_next_one_runs() {
        let command = |name: &str, script: &str, seconds| Command {
            name: name.to_owned(),
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            seconds,
        };
        let commands = [
            // It waits for a child, which is to end with it.
            command("serve", "sleep 600 & echo $!; wait", 1),
            command("next", "echo next; exit 3", 60),
        ];
        let ended = run(&commands);
        let served = &ended[0];
        assert!(served.timed_out, "{served:?}");
        assert_eq!((served.exit, served.signal), (None, None), "{served:?}");
        assert!((1.0..60.0).contains(&served.seconds), "{served:?}");
        // What was killed may still be a zombie, which has no arguments.
        let child: u32 = served.stdout.trim().parse().unwrap();
        let arguments = || fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        for _ in 0..100 {
            if arguments().is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert_eq!(String::from_utf8_lossy(&arguments()), "");

        let next = &ended[1];
        assert_eq!((next.exit, next.timed_out), (Some(3), false), "{next:?}");
        assert_eq!(next.stdout, "next\n");
        assert_eq!(
            cut_short(&ended),
            ["`serve` was cut short by its time limit"]
        );
    }

    #[test]
    fn of_an_answer_without_end_the_first_texts_are_kept() {
        let names = vec!["x"; MOST_ANSWERS + 2];
        let long = serde_json::json!({
            "name": "a", "exit": 0, "signal": null, "timed_out": false, "seconds": 1, "stdout": "",
            "stderr": "", "cut": false, "answer": names,
        });
        let ran = hostile::ran(&serde_json::json!([long]).to_string());
        let ended = read(&ran, &commands()[..1]).unwrap();
        let answer = ended[0].answer.as_ref().unwrap();
        assert_eq!((answer.first.len(), answer.more), (MOST_ANSWERS, 2));
    }

    #[test]
    fn a_forged_result_does_not_read_as_whole() {
        let short = read(&hostile::ran("[]"), &commands()).unwrap();
        assert!(short.iter().all(|ended| ended.unwatched));
        assert_eq!(cut_short(&short).len(), 1);
        let other = format!("[{}]", ONE.replace("\"a\"", "\"x\""));
        assert!(read(&hostile::ran(&other), &commands()).is_err());
        let many = format!("[{ONE}, {ONE}]");
        assert!(read(&hostile::ran(&many), &commands()[..1]).is_err());
        let none = hostile::ended(StageStatus::TimedOut, "no JSON");
        assert_eq!(
            read(&none, &commands()).map(|_| ()),
            Err(Failure::inconclusive("timed out"))
        );
    }
}
