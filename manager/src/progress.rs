//! Progress on standard error: live on a terminal, nothing elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is being done, with times. Cheap to share.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    current: Mutex<Option<(String, Instant)>>,
}

impl Progress {
    /// A progress line on standard error where that is a terminal and `quiet` is not asked for.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let bar = ProgressBar::new_spinner();
        if quiet || !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        } else if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed:>6}")
        {
            bar.set_style(style);
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self {
            bar,
            current: Mutex::new(None),
        }
    }

    /// The step that runs from now on; the one before is printed with the time it took.
    pub fn step(&self, what: impl Into<String>) {
        self.change(Some(what.into()));
    }

    /// A detail of the running step: bytes fetched, a count.
    pub fn detail(&self, detail: &str) {
        if let Some((what, _)) = &*self.lock() {
            self.bar
                .set_message(format!("{what}: {}", pyti_analyzer::escape(detail)));
        }
    }

    /// A line that stays.
    pub fn line(&self, text: &str) {
        self.bar.println(pyti_analyzer::escape(text));
    }

    /// The last step is over; the line goes away.
    pub fn finish(&self) {
        self.change(None);
        self.bar.finish_and_clear();
    }

    fn change(&self, next: Option<String>) {
        let next = next.map(|what| (pyti_analyzer::escape(&what).to_string(), Instant::now()));
        let message = next.as_ref().map(|(what, _)| what.clone());
        let before = std::mem::replace(&mut *self.lock(), next);
        if let Some((what, since)) = before {
            self.bar
                .println(format!("{:>7.2} s  {what}", since.elapsed().as_secs_f64()));
        }
        self.bar.reset_elapsed();
        self.bar.set_message(message.unwrap_or_default());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(String, Instant)>> {
        // A panic elsewhere leaves the message as it was; it is only a message.
        self.current
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }
}
