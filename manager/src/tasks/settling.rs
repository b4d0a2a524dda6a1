//! Hooks that are asked while requirements are resolved. The resolver may turn away from a question, as where it
//! ends before all is answered: no stage is dropped for that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use pyti_index::hook::BoxFuture;
use pyti_index::{ErrorKind, HookError, HookRequest, MetadataHook};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// What a hook tells.
type Told = Result<String, HookError>;

/// What work gives that may ask the hook, when the hook has come to the end of all that it was asked.
pub(super) async fn settled<F: Future>(
    hook: Arc<dyn MetadataHook>,
    work: impl FnOnce(Arc<dyn MetadataHook>) -> F,
) -> F::Output {
    let settling = Arc::new(Settling {
        hook,
        told: Arc::default(),
        ongoing: Ongoing::default(),
    });
    let asked: Arc<dyn MetadataHook> = settling.clone();
    let given = work(asked).await;
    settling.ongoing.ended().await;
    given
}

/// A hook that comes to the end of what it was asked, though nobody waits for it any more.
struct Settling {
    hook: Arc<dyn MetadataHook>,
    /// What it told, by the digests of the sources: who asks again hears that. Held while it is asked, one
    /// question at a time: each is a virtual machine, also that of which the resolver turned away.
    told: Arc<tokio::sync::Mutex<BTreeMap<String, Told>>>,
    ongoing: Ongoing,
}

impl MetadataHook for Settling {
    fn metadata(&self, request: HookRequest) -> BoxFuture<'_, Told> {
        Box::pin(async move {
            // Who turns away while it waits here has begun nothing.
            let mut told = Arc::clone(&self.told).lock_owned().await;
            if let Some(known) = told.get(&request.sha256) {
                return known.clone();
            }
            let hook = Arc::clone(&self.hook);
            let asking = async move {
                let sha256 = request.sha256.clone();
                let answer = hook.metadata(request).await;
                let kind = answer.as_ref().err().map(|error| error.kind);
                // That may be another one the next time.
                if kind != Some(ErrorKind::Infrastructure) {
                    told.insert(sha256, answer.clone());
                }
                answer
            };
            let given_up = || HookError {
                reason: "it was given up".to_owned(),
                kind: ErrorKind::Infrastructure,
            };
            let answer = self.ongoing.run(asking).await;
            answer.unwrap_or_else(|| Err(given_up()))
        })
    }
}

/// Work that goes on where nobody waits for it any more. It is ended when this is dropped.
#[derive(Default)]
struct Ongoing(Mutex<JoinSet<()>>);

impl Ongoing {
    /// What work gives; `None` where it was ended.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        self.with(|ongoing| {
            ongoing.spawn(async move {
                // That nobody hears it takes nothing from the work.
                let _ = tell.send(work.await);
            });
        });
        told.await.ok()
    }

    /// Ends when all has, and what was begun until then.
    async fn ended(&self) {
        loop {
            let mut ongoing = self.with(std::mem::take);
            if ongoing.is_empty() {
                return;
            }
            while ongoing.join_next().await.is_some() {}
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut JoinSet<()>) -> T) -> T {
        // Whoever panicked had the set whole.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
