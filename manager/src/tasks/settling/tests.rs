//! Questions and work from which who asked turns away.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use super::*;

/// Work that ends when it is told to, and says so.
async fn work(go: Arc<Notify>, done: Arc<AtomicBool>) -> u8 {
    go.notified().await;
    done.store(true, Ordering::Relaxed);
    1
}

/// All that can go on does, on this one thread.
async fn all() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn work_that_nobody_waits_for_comes_to_its_end() {
    let (ongoing, go) = (Ongoing::default(), Arc::<Notify>::default());
    let done = Arc::<AtomicBool>::default();
    {
        let mut asked = pin!(ongoing.run(work(go.clone(), done.clone())));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(asked.as_mut().poll(&mut context), Poll::Pending);
    }
    assert!(!done.load(Ordering::Relaxed));
    go.notify_one();
    ongoing.ended().await;
    assert!(done.load(Ordering::Relaxed));
}

#[tokio::test]
async fn work_that_is_begun_while_other_work_ends_comes_to_its_end_too() {
    let ongoing = Arc::<Ongoing>::default();
    let [first, second] = [(); 2].map(|()| Arc::<Notify>::default());
    let done = Arc::<AtomicBool>::default();
    let ask = |go: &Arc<Notify>, done: &Arc<AtomicBool>| {
        let asked = ongoing.run(work(go.clone(), done.clone()));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(pin!(asked).as_mut().poll(&mut context), Poll::Pending);
    };
    ask(&first, &Arc::default());
    let ending = tokio::spawn({
        let ongoing = ongoing.clone();
        async move { ongoing.ended().await }
    });
    all().await;
    ask(&second, &done);
    first.notify_one();
    all().await;
    assert!(!ending.is_finished());
    second.notify_one();
    ending.await.unwrap();
    assert!(done.load(Ordering::Relaxed));
}

#[tokio::test]
async fn what_work_gives_is_told_to_who_waits_for_it() {
    let (ongoing, go) = (Ongoing::default(), Arc::<Notify>::default());
    let done = Arc::<AtomicBool>::default();
    go.notify_one();
    assert_eq!(ongoing.run(work(go.clone(), done.clone())).await, Some(1));
    let panics = async { "nothing".parse::<u8>().unwrap() };
    assert_eq!(ongoing.run(panics).await, None);
}

/// A hook that answers each time it is told to, with the name of the file.
#[derive(Default)]
struct Slow {
    go: Notify,
    begun: AtomicUsize,
    ended: AtomicUsize,
    /// Its answer is an error of this kind.
    fails: Option<ErrorKind>,
}

impl MetadataHook for Slow {
    fn metadata(&self, request: HookRequest) -> BoxFuture<'_, Told> {
        Box::pin(async move {
            self.begun.fetch_add(1, Ordering::Relaxed);
            self.go.notified().await;
            self.ended.fetch_add(1, Ordering::Relaxed);
            let reason = request.filename;
            match self.fails {
                None => Ok(reason),
                Some(kind) => Err(HookError { reason, kind }),
            }
        })
    }
}

impl Slow {
    /// How many questions it has begun with, and how many of them it has answered.
    fn counts(&self) -> (usize, usize) {
        let [begun, ended] = [&self.begun, &self.ended].map(|count| count.load(Ordering::Relaxed));
        (begun, ended)
    }
}

fn request(name: &str) -> HookRequest {
    HookRequest {
        sdist: "/nowhere".into(),
        filename: name.to_owned(),
        sha256: name.to_owned(),
        wheelhouse: vec![],
        build_requires: vec![],
        hint: None,
    }
}

/// Asks, and hangs up before there is an answer.
fn ask_and_turn_away(hook: &dyn MetadataHook, name: &str) {
    let mut asked = hook.metadata(request(name));
    let mut context = Context::from_waker(Waker::noop());
    assert!(asked.as_mut().poll(&mut context).is_pending());
}

#[tokio::test]
async fn a_question_that_was_begun_with_is_answered_before_the_work_is_over() {
    let slow = Arc::<Slow>::default();
    let hook = slow.clone();
    let work = settled(hook, |hook| async move {
        ask_and_turn_away(&*hook, "a");
        // Its turn has not come, and never will.
        ask_and_turn_away(&*hook, "b");
        7
    });
    let working = tokio::spawn(work);
    all().await;
    assert!(!working.is_finished());
    assert_eq!(slow.counts(), (1, 0));
    slow.go.notify_one();
    assert_eq!(working.await.unwrap(), 7);
    assert_eq!(slow.counts(), (1, 1));
}

#[tokio::test]
async fn who_asks_again_hears_what_was_told_to_nobody() {
    for fails in [
        None,
        Some(ErrorKind::Package),
        Some(ErrorKind::Inconclusive),
    ] {
        let slow = Arc::new(Slow {
            fails,
            ..Slow::default()
        });
        let hook = slow.clone();
        let told = settled(hook, |hook| async move {
            ask_and_turn_away(&*hook, "a");
            hook.metadata(request("a")).await
        });
        slow.go.notify_one();
        let (told, kind) = match told.await {
            Ok(text) => (text, None),
            Err(error) => (error.reason, Some(error.kind)),
        };
        assert_eq!((&*told, kind), ("a", fails));
        assert_eq!(slow.counts(), (1, 1));
    }
}

#[tokio::test]
async fn what_failed_by_no_fault_of_the_source_is_tried_again() {
    let slow = Arc::new(Slow {
        fails: Some(ErrorKind::Infrastructure),
        ..Slow::default()
    });
    let (hook, go) = (slow.clone(), slow.clone());
    settled(hook, |hook| async move {
        for _ in 0..2 {
            go.go.notify_one();
            hook.metadata(request("a")).await.unwrap_err();
        }
    })
    .await;
    assert_eq!(slow.counts(), (2, 2));
}

#[tokio::test]
async fn one_question_at_a_time_is_worked_on() {
    let slow = Arc::<Slow>::default();
    let hook = slow.clone();
    let told = tokio::spawn(settled(hook, |hook| async move {
        ask_and_turn_away(&*hook, "a");
        hook.metadata(request("b")).await
    }));
    all().await;
    assert_eq!(slow.counts(), (1, 0));
    slow.go.notify_one();
    all().await;
    assert_eq!(slow.counts(), (2, 1));
    slow.go.notify_one();
    assert_eq!(told.await.unwrap().unwrap(), "b");
}
