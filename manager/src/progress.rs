//! Progress on standard error: the state of the graph live on a terminal, a line for each change in a
//! log, nothing elsewhere.

use std::collections::HashMap;
use std::io::{IsTerminal, Write as _};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pyti_analyzer::escape;
use pyti_graph::{Change, Outcome, Plan, Resources};

use crate::cli::ProgressArg;

/// Tasks named in the line of those that wait.
const WAITING_SHOWN: usize = 3;

/// What there is to show where.
#[derive(Debug)]
enum Show {
    /// A line for each thing that runs, and one for what waits.
    Live(MultiProgress),
    /// A line for each change, given to this.
    Log(fn(&str)),
    /// Nothing.
    Nothing,
}

fn to_standard_error(line: &str) {
    // Where it is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Shows what runs and since when. Cheap to share.
#[derive(Debug)]
pub struct Progress {
    show: Show,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: HashMap<String, (Option<ProgressBar>, Instant)>,
    /// What has not started, in the order of the plan.
    waiting: Vec<Waiting>,
    waits: Option<ProgressBar>,
}

/// A task that has not started.
#[derive(Debug)]
struct Waiting {
    task: String,
    /// The tasks that it waits for.
    before: Vec<String>,
    /// What it waits for after them, where others have all of it.
    resource: &'static str,
}

impl Waiting {
    /// In a few words.
    fn tell(&self) -> String {
        if self.before.is_empty() {
            format!("{} for {}", self.task, self.resource)
        } else {
            format!("{} for {}", self.task, self.before.join(" and "))
        }
    }
}

/// What a task waits for that could start.
fn resource(cost: &Resources) -> &'static str {
    if cost.vms > 0 {
        "a VM slot"
    } else {
        "a connection slot"
    }
}

impl Progress {
    /// Progress as it was asked for; by itself, live on a terminal and nothing elsewhere.
    #[must_use]
    pub fn new(wanted: ProgressArg) -> Self {
        let live = || Show::Live(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self::showing(match wanted {
            ProgressArg::Auto if std::io::stderr().is_terminal() => live(),
            ProgressArg::Auto | ProgressArg::None => Show::Nothing,
            ProgressArg::Log => Show::Log(to_standard_error),
        })
    }

    fn showing(show: Show) -> Self {
        Self {
            show,
            began: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// The plan that is about to run.
    pub fn plan(&self, plan: &Plan) {
        let name = |at: usize| plan.tasks().get(at).map(|task| task.name.clone());
        let waiting = plan.tasks().iter().enumerate().map(|(at, task)| {
            let edges = plan.edges(at).into_iter();
            let mut before: Vec<String> = edges.filter_map(|(from, _)| name(from)).collect();
            before.dedup();
            Waiting {
                task: task.name.clone(),
                before,
                resource: resource(&task.cost),
            }
        });
        let mut state = self.lock();
        state.waiting = waiting.collect();
        if let Show::Live(lines) = &self.show {
            let line = lines.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("  {wide_msg}") {
                line.set_style(style);
            }
            state.waits = Some(line);
        }
        state.show_waiting();
    }

    /// Something starts.
    pub fn start(&self, what: &str) {
        let mut state = self.lock();
        state.waiting.retain(|waiting| waiting.task != what);
        let bar = match &self.show {
            Show::Live(lines) => {
                let line = ProgressBar::new_spinner();
                let line = match &state.waits {
                    Some(waits) => lines.insert_before(waits, line),
                    None => lines.add(line),
                };
                if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed:>6}")
                {
                    line.set_style(style);
                }
                line.set_message(escape(what));
                line.enable_steady_tick(Duration::from_millis(120));
                Some(line)
            }
            Show::Log(_) => {
                self.log(&format!("{} starts", escape(what)));
                None
            }
            Show::Nothing => None,
        };
        state.running.insert(what.to_owned(), (bar, Instant::now()));
        state.show_waiting();
    }

    /// What it is doing: a file that is fetched, a step of a boot.
    pub fn detail(&self, what: &str, detail: &str) {
        let message = format!("{}: {}", escape(what), escape(detail));
        match (self.lock().running.get(what), &self.show) {
            (Some((Some(line), _)), _) => line.set_message(message),
            (_, Show::Log(_)) => self.log(&message),
            _ => {}
        }
    }

    /// It ended; a line with its time and its end stays.
    pub fn end(&self, what: &str, ending: &str) {
        let mut state = self.lock();
        state.ended(what);
        let running = state.running.remove(what);
        let took = running
            .as_ref()
            .map_or(0.0, |(_, since)| since.elapsed().as_secs_f64());
        let told = format!("{took:>7.2} s  {} {}", escape(what), escape(ending));
        match &self.show {
            Show::Live(lines) => {
                if let Some((Some(line), _)) = running {
                    line.finish_and_clear();
                    lines.remove(&line);
                }
                // Where the terminal is gone there is nobody to tell.
                let _ = lines.println(told);
            }
            Show::Log(_) => self.log(&format!(
                "{} {} after {took:.2} s",
                escape(what),
                escape(ending)
            )),
            Show::Nothing => {}
        }
        state.show_waiting();
    }

    /// Nothing runs any more.
    pub fn over(&self) {
        if let Some(line) = self.lock().waits.take() {
            line.finish_and_clear();
        }
    }

    /// A change of the graph's state.
    pub fn change(&self, change: &Change<'_>) {
        match change {
            Change::Started { task, attempt: 1 } => self.start(task),
            Change::Started { task, attempt } => {
                self.detail(task, &format!("try {attempt}"));
            }
            Change::Detail { task, text } => self.detail(task, text),
            Change::Retry { task, reason } => {
                self.detail(task, &format!("again, since it failed: {reason}"));
            }
            Change::Ended { task, outcome } => match (&self.show, outcome) {
                // The reason is told where it is one; on a terminal a chain of lines says nothing.
                (Show::Live(_), Outcome::Skipped { .. }) => {
                    let mut state = self.lock();
                    state.ended(task);
                    state.show_waiting();
                }
                _ => self.end(task, &outcome.brief()),
            },
        }
    }

    fn log(&self, text: &str) {
        if let Show::Log(write) = self.show {
            write(&format!(
                "{:>8.2} {text}",
                self.began.elapsed().as_secs_f64()
            ));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the lines as they were; they are only lines.
        self.state
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }
}

impl State {
    /// Nothing waits for it any more, nor does it itself.
    fn ended(&mut self, what: &str) {
        self.waiting.retain(|waiting| waiting.task != what);
        for waiting in &mut self.waiting {
            waiting.before.retain(|task| task != what);
        }
    }

    fn show_waiting(&self) {
        let Some(line) = &self.waits else {
            return;
        };
        let shown = self.waiting.iter().take(WAITING_SHOWN).map(Waiting::tell);
        let mut text = shown.collect::<Vec<_>>().join(", ");
        let more = self.waiting.len().saturating_sub(WAITING_SHOWN);
        if more > 0 {
            text.push_str(&format!(", {more} more"));
        }
        if text.is_empty() {
            line.set_message("");
        } else {
            line.set_message(format!("waiting: {}", escape(&text)));
        }
    }
}

#[cfg(test)]
mod tests;
