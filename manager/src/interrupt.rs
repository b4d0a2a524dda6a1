//! Ctrl-C and its like: the first asks the running stage to end and report, the second ends `pyti`.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Exit status of a program that Ctrl-C ended, as shells have it: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Hears SIGINT and SIGTERM. Clones hear the same.
#[derive(Debug, Clone)]
pub struct Interrupt {
    heard: watch::Receiver<bool>,
    /// Keeps the channel open where no signal is listened for.
    _tell: Arc<watch::Sender<bool>>,
}

impl Interrupt {
    /// Begins to listen.
    ///
    /// # Errors
    /// The signals cannot be caught.
    pub fn listen() -> std::io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (tell, heard) = watch::channel(false);
        let tell = Arc::new(tell);
        let teller = Arc::clone(&tell);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if teller.send_replace(true) {
                    // The machines die with this process.
                    std::process::exit(INTERRUPTED);
                }
            }
        });
        Ok(Self { heard, _tell: tell })
    }

    /// One that never comes, where nothing runs that could be interrupted.
    #[must_use]
    pub fn never() -> Self {
        let (tell, heard) = watch::channel(false);
        Self {
            heard,
            _tell: Arc::new(tell),
        }
    }

    /// Turns true when a signal has come.
    #[must_use]
    pub fn heard(&self) -> watch::Receiver<bool> {
        self.heard.clone()
    }

    /// Ends when a signal has come.
    pub async fn wait(&self) {
        let mut heard = self.heard.clone();
        if heard.wait_for(|heard| *heard).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether a signal has come.
    #[must_use]
    pub fn came(&self) -> bool {
        *self.heard.borrow()
    }
}
