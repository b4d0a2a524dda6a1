//! What is printed, live and in a log.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use indicatif::TermLike;
use pyti_graph::{
    Action, Blame, BoxFuture, Control, Failure, Inputs, Missing, Need, Outputs, Place, Task,
};

use super::*;

struct Nothing;

impl Action for Nothing {
    fn run(&self, _: Inputs, _: Control) -> BoxFuture<'_, Result<Outputs, Failure>> {
        Box::pin(async { Ok(Outputs::new()) })
    }
}

fn plan() -> Plan {
    let task = |name: &str, needs: &[&str], network: u32| Task {
        name: name.to_owned(),
        needs: needs.iter().map(|&kind| Need::All(kind.into())).collect(),
        provides: vec![name.into()],
        place: Place::Vm,
        version: None,
        cost: Resources {
            vms: 1 - network,
            network,
            ..Resources::default()
        },
        timeout: None,
        action: Arc::new(Nothing),
    };
    let tasks = vec![
        task("fetch", &[], 1),
        task("template", &[], 0),
        task("install", &["fetch", "template"], 0),
        task("startup", &["install"], 0),
        task("import", &["install"], 0),
    ];
    Plan::new(tasks, &["startup".into(), "import".into()]).unwrap()
}

fn start(task: &str) -> Change<'_> {
    Change::Started { task, attempt: 1 }
}

fn failed(reason: &str) -> Outcome {
    Outcome::Failed {
        blame: Blame::Package,
        reason: reason.to_owned(),
    }
}

/// How a task ends that needs what one did not provide that failed.
fn skipped() -> Outcome {
    let missing = Missing {
        datum: "install".into(),
        provider: "install".to_owned(),
        because: "failed: no".to_owned(),
        not_applicable: false,
    };
    Outcome::Skipped {
        chain: vec![missing],
    }
}

const DONE: Outcome = Outcome::Done { remembered: false };

/// A terminal that keeps the lines that each frame painted anew.
#[derive(Debug, Clone, Default)]
struct Screen(Arc<Mutex<Frames>>);

#[derive(Debug, Default)]
struct Frames {
    painting: Vec<String>,
    painted: Vec<Vec<String>>,
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        200
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        // The rest of a line is filled with blanks.
        let text = text.trim();
        if !text.is_empty() {
            self.0.lock().unwrap().painting.push(text.to_owned());
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let mut frames = self.0.lock().unwrap();
        let painted = std::mem::take(&mut frames.painting);
        frames.painted.push(painted);
        Ok(())
    }
}

impl Screen {
    /// What the last frame shows: what runs, without its spinner and since when, and what waits.
    fn shows(&self) -> Vec<String> {
        let frames = self.0.lock().unwrap();
        let last = frames.painted.last().unwrap();
        let line = |line: &String| {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words[0] == "waiting:" {
                return words.join(" ");
            }
            let (since, what) = words[1..].split_last().unwrap();
            let number = since.strip_suffix('s').unwrap();
            assert!(number.parse::<u32>().is_ok(), "{line}");
            what.join(" ")
        };
        last.iter().map(line).collect()
    }

    /// How often something was printed that stays.
    fn printed(&self, what: &str) -> usize {
        let frames = self.0.lock().unwrap();
        let lines = frames.painted.iter().flatten();
        lines.filter(|line| line.ends_with(what)).count()
    }
}

#[test]
fn a_terminal_shows_what_runs_since_when_and_what_waits_for_what() {
    let screen = Screen::default();
    let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
    let progress = Progress::showing(Show::Live(MultiProgress::with_draw_target(target)));
    let end = |task, outcome: &Outcome| progress.change(&Change::Ended { task, outcome });
    progress.plan(&plan());
    assert_eq!(
        screen.shows(),
        [
            "waiting: fetch for a connection slot, template for a VM slot, \
            install for fetch and template, 2 more"
        ]
    );
    progress.change(&start("fetch"));
    let waiting = "waiting: template for a VM slot, install for fetch and template, \
        startup for install, 1 more";
    assert_eq!(screen.shows(), ["fetch", waiting]);
    progress.change(&Change::Started {
        task: "fetch",
        attempt: 2,
    });
    assert_eq!(screen.shows(), ["fetch: try 2", waiting]);
    progress.change(&Change::Detail {
        task: "fetch",
        text: "a\u{1b}[2J\nb",
    });
    assert_eq!(screen.shows(), ["fetch: a\\u{1b}[2J\\nb", waiting]);
    progress.change(&start("template"));
    let shown = screen.shows();
    assert_eq!(shown[1], "template");
    assert_eq!(
        shown[2],
        "waiting: install for fetch and template, startup for install, import for install"
    );
    end("fetch", &DONE);
    assert_eq!(screen.printed(" s  fetch done"), 1);
    assert_eq!(
        screen.shows(),
        [
            "template",
            "waiting: install for template, startup for install, import for install"
        ]
    );
    end("template", &failed("no"));
    assert_eq!(screen.printed(" s  template failed: no"), 1);
    // Its end is told where it is the cause.
    end("install", &skipped());
    assert_eq!(
        screen.shows(),
        ["waiting: startup for a VM slot, import for a VM slot"]
    );
    end("startup", &skipped());
    end("import", &skipped());
    progress.over();
    assert_eq!(screen.shows(), [""; 0]);
    assert_eq!(screen.printed("since install failed"), 0);
}

thread_local! {
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

#[test]
fn a_log_has_one_line_for_each_change() {
    let progress = Progress::showing(Show::Log(|line| {
        LOG.with_borrow_mut(|log| log.push(line.to_owned()));
    }));
    progress.plan(&plan());
    assert!(LOG.take().is_empty());
    let (failed, skipped) = (failed("no\nsuch"), skipped());
    let detail = |text| Change::Detail {
        task: "fetch",
        text,
    };
    let again = Change::Retry {
        task: "fetch",
        reason: "no network",
    };
    let second = Change::Started {
        task: "fetch",
        attempt: 2,
    };
    let end = |task, outcome| Change::Ended { task, outcome };
    for (change, expected) in [
        (start("fetch"), "fetch starts"),
        (detail("a\u{1b}[2J\nb"), "fetch: a\\u{1b}[2J\\nb"),
        (again, "fetch: again, since it failed: no network"),
        (second, "fetch: try 2"),
        (end("fetch", &DONE), "fetch done after"),
        (start("install"), "install starts"),
        (end("install", &failed), "install failed: no\\nsuch after"),
        (
            end("import", &skipped),
            "import skipped: no install, since install failed after",
        ),
    ] {
        progress.change(&change);
        let lines = LOG.take();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let (time, told) = lines[0].trim_start().split_once(' ').unwrap();
        assert!(time.parse::<f64>().is_ok(), "{lines:?}");
        assert!(told.starts_with(expected), "{lines:?}");
        assert!(!told.contains('\n'), "{lines:?}");
    }
}

#[test]
fn what_could_start_waits_for_a_slot() {
    let slot = Resources {
        vms: 1,
        ..Resources::default()
    };
    let mut state = State::default();
    state.waiting.push(Waiting {
        task: "build".into(),
        before: vec!["install".into()],
        resource: resource(&slot),
    });
    assert_eq!(state.waiting[0].tell(), "build for install");
    state.ended("install");
    assert_eq!(state.waiting[0].tell(), "build for a VM slot");
}
