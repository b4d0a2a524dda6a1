//! Who asks for wheels while requirements are resolved: the resolver may turn away from a question, and no build
//! is dropped for that.

use std::sync::{Arc, Mutex, PoisonError};

use pyti_index::hook::BoxFuture;
use pyti_index::{ErrorKind, HookError, HookRequest, MetadataHook};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::SourceWheels;

/// Asks for the metadata of sources by building them.
pub(in crate::tasks) struct AskByBuilding {
    wheels: Arc<SourceWheels>,
    builds: Builds,
}

/// Builds that go on where nobody waits for them any more. They are ended when this is dropped.
#[derive(Default)]
struct Builds(Mutex<JoinSet<()>>);

impl Builds {
    /// What one gives; `None` where it was ended.
    async fn run<T: Send + 'static>(
        &self,
        build: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        self.with(|builds| {
            builds.spawn(async move {
                // That nobody hears it takes nothing from the build.
                let _ = tell.send(build.await);
            });
        });
        told.await.ok()
    }

    /// Ends when all of them have, and those that were asked for until then.
    async fn settled(&self) {
        loop {
            let mut builds = self.with(std::mem::take);
            if builds.is_empty() {
                return;
            }
            while builds.join_next().await.is_some() {}
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut JoinSet<()>) -> T) -> T {
        // Whoever panicked had the set whole.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AskByBuilding {
    /// One that asks these.
    pub(in crate::tasks) fn new(wheels: Arc<SourceWheels>) -> Self {
        Self {
            wheels,
            builds: Builds::default(),
        }
    }

    /// Ends when all builds have that were asked for.
    pub(in crate::tasks) async fn settled(&self) {
        self.builds.settled().await;
    }
}

impl MetadataHook for AskByBuilding {
    /// What the wheel says: who is asked for its metadata is to be installed as well.
    fn metadata(&self, request: HookRequest) -> BoxFuture<'_, Result<String, HookError>> {
        Box::pin(async move {
            let wheels = Arc::clone(&self.wheels);
            let build = async move { wheels.wheel(&request).await };
            let (reason, kind) = match self.builds.run(build).await {
                Some(Ok(Ok(wheel))) => return Ok(wheel.metadata),
                Some(Ok(Err(reason))) => (reason, ErrorKind::Package),
                Some(Err(error)) => (format!("{error:#}"), ErrorKind::Infrastructure),
                None => (
                    "its build was given up".to_owned(),
                    ErrorKind::Infrastructure,
                ),
            };
            Err(HookError { reason, kind })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll, Waker};

    use tokio::sync::Notify;

    use super::*;

    /// A build that ends when it is told to, and says so.
    async fn build(go: Arc<Notify>, done: Arc<AtomicBool>) -> u8 {
        go.notified().await;
        done.store(true, Ordering::Relaxed);
        1
    }

    #[tokio::test]
    async fn a_build_that_nobody_waits_for_comes_to_its_end() {
        let (builds, go) = (Builds::default(), Arc::<Notify>::default());
        let done = Arc::<AtomicBool>::default();
        {
            let mut asked = pin!(builds.run(build(go.clone(), done.clone())));
            let mut context = Context::from_waker(Waker::noop());
            assert_eq!(asked.as_mut().poll(&mut context), Poll::Pending);
        }
        assert!(!done.load(Ordering::Relaxed));
        go.notify_one();
        builds.settled().await;
        assert!(done.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_build_that_is_asked_for_while_others_end_comes_to_its_end_too() {
        let builds = Arc::<Builds>::default();
        let [first, second] = [(); 2].map(|()| Arc::<Notify>::default());
        let done = Arc::<AtomicBool>::default();
        let ask = |go: &Arc<Notify>, done: &Arc<AtomicBool>| {
            let asked = builds.run(build(go.clone(), done.clone()));
            let mut context = Context::from_waker(Waker::noop());
            assert_eq!(pin!(asked).as_mut().poll(&mut context), Poll::Pending);
        };
        ask(&first, &Arc::default());
        let settling = tokio::spawn({
            let builds = builds.clone();
            async move { builds.settled().await }
        });
        // All that can go on does, on this one thread.
        let all = async || {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        };
        all().await;
        ask(&second, &done);
        first.notify_one();
        all().await;
        assert!(!settling.is_finished());
        second.notify_one();
        settling.await.unwrap();
        assert!(done.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn what_a_build_gives_is_told_to_who_waits_for_it() {
        let (builds, go) = (Builds::default(), Arc::<Notify>::default());
        let done = Arc::<AtomicBool>::default();
        go.notify_one();
        assert_eq!(builds.run(build(go.clone(), done.clone())).await, Some(1));
        let panics = async { "no build".parse::<u8>().unwrap() };
        assert_eq!(builds.run(panics).await, None);
    }
}
