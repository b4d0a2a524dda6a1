//! Progress on standard error: what runs and since when, live on a terminal, nothing elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pyti_analyzer::escape;
use pyti_graph::{Change, Outcome};

/// A line for each thing that runs. Cheap to share.
#[derive(Debug)]
pub struct Progress {
    lines: MultiProgress,
    running: Mutex<HashMap<String, (ProgressBar, Instant)>>,
}

impl Progress {
    /// Progress on standard error where that is a terminal and `quiet` is not asked for.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let target = if quiet || !std::io::stderr().is_terminal() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        Self {
            lines: MultiProgress::with_draw_target(target),
            running: Mutex::default(),
        }
    }

    /// Something starts.
    pub fn start(&self, what: &str) {
        let line = self.lines.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed:>6}") {
            line.set_style(style);
        }
        line.set_message(escape(what).to_string());
        if !self.lines.is_hidden() {
            line.enable_steady_tick(Duration::from_millis(120));
        }
        self.lock().insert(what.to_owned(), (line, Instant::now()));
    }

    /// What it is doing: a file that is fetched, a step of a boot.
    pub fn detail(&self, what: &str, detail: &str) {
        if let Some((line, _)) = self.lock().get(what) {
            line.set_message(format!("{}: {}", escape(what), escape(detail)));
        }
    }

    /// It ended; a line with its time and its end stays.
    pub fn end(&self, what: &str, ending: &str) {
        let Some((line, since)) = self.lock().remove(what) else {
            return;
        };
        line.finish_and_clear();
        self.lines.remove(&line);
        let took = since.elapsed().as_secs_f64();
        // Where the terminal is gone there is nobody to tell.
        let _ = self.lines.println(format!(
            "{took:>7.2} s  {} {}",
            escape(what),
            escape(ending)
        ));
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
            Change::Ended { task, outcome } => {
                if !matches!(outcome, Outcome::Skipped { .. }) {
                    self.end(task, &outcome.to_string());
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (ProgressBar, Instant)>> {
        // A panic elsewhere leaves the lines as they were; they are only lines.
        self.running
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }
}
