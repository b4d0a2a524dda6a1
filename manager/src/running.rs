//! How many stages run at the moment: work that may start one is not dropped under it.

use tokio::sync::watch;

/// Counts the stages that run.
#[derive(Debug)]
pub struct Running(watch::Sender<usize>);

/// A stage that runs, until this is dropped.
#[derive(Debug)]
pub struct RunningStage<'a>(&'a Running);

impl Default for Running {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Drop for RunningStage<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

impl Running {
    /// One more stage runs.
    #[must_use]
    pub fn begin(&self) -> RunningStage<'_> {
        self.0.send_modify(|count| *count += 1);
        RunningStage(self)
    }

    /// Ends when no stage runs.
    async fn none(&self) {
        let mut count = self.0.subscribe();
        // It cannot be closed: the sender is here.
        let _ = count.wait_for(|count| *count == 0).await;
    }

    /// What the work gives. It is dropped once it is to stop and no stage runs, and gives nothing then: a
    /// stage hears an interruption itself, ends, and its record is judged.
    pub async fn unless_stopped<T>(
        &self,
        stopped: impl Future<Output = ()>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let stopped = async {
            stopped.await;
            self.none().await;
        };
        tokio::select! {
            // What is done when its stage ends is not dropped.
            biased;
            done = work => Some(done),
            () = stopped => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn work_is_dropped_at_once_between_two_stages() {
        let running = Running::default();
        drop(running.begin());
        let mut work = pin!(running.unless_stopped(ready(()), pending::<()>()));
        assert_eq!(poll(work.as_mut()), Poll::Ready(None));
    }

    #[test]
    fn work_is_kept_while_a_stage_runs_and_no_longer() {
        let running = Running::default();
        let stages = [running.begin(), running.begin()];
        let mut work = pin!(running.unless_stopped(ready(()), pending::<()>()));
        assert_eq!(poll(work.as_mut()), Poll::Pending);
        let [one, other] = stages;
        drop(one);
        assert_eq!(poll(work.as_mut()), Poll::Pending);
        drop(other);
        assert_eq!(poll(work.as_mut()), Poll::Ready(None));
    }

    #[test]
    fn work_that_is_not_to_stop_goes_on_without_a_stage() {
        let running = Running::default();
        let mut work = pin!(running.unless_stopped(pending(), pending::<()>()));
        assert_eq!(poll(work.as_mut()), Poll::Pending);
    }

    #[test]
    fn work_that_ends_with_its_stage_is_done() {
        let running = Running::default();
        let stage = running.begin();
        let ending = async move {
            drop(stage);
            "done"
        };
        let mut work = pin!(running.unless_stopped(ready(()), ending));
        assert_eq!(poll(work.as_mut()), Poll::Ready(Some("done")));
    }
}
