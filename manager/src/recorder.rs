//! Decodes and stores the events of a stage on a thread of its own, so that a slow disk holds the VM
//! back and nothing else.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result};
use pyti_analyzer::store::StoreWriter;
use pyti_trace::decode;
use pyti_trace::event::{Family, Kind};
use tokio::sync::{mpsc, oneshot};

/// Frames that wait for the disk; then the VM waits. Nothing waits for a frame to follow: each is in the
/// journal as soon as those before it are, and survives the end of this program from then on.
const QUEUE: usize = 64;
/// Bytes of events written in all; what is over is counted as lost. As they are written they take
/// several times what they take on the wire.
const MOST_BYTES: u64 = 2 << 30;

/// The thread.
#[derive(Debug)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Vec<u8>>,
    done: oneshot::Receiver<Kept>,
}

/// What it has to say in the end.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Records that could not be decoded.
    pub malformed: u64,
    /// Events over the bounds, by family.
    pub dropped: [u64; Family::ALL.len()],
    /// Thread group ids of processes that executed a program.
    pub executed: HashSet<u32>,
    /// Why not all is there.
    pub problem: Option<String>,
}

impl Kept {
    /// Whether everything that came is there.
    pub(crate) fn dropped_none(&self) -> bool {
        self.problem.is_none() && self.dropped.iter().all(|count| *count == 0)
    }
}

impl Recorder {
    /// Starts to store in `directory`, so many events at most.
    pub(crate) fn start(directory: &Path, max_events: u64) -> Result<Self> {
        Self::bounded(directory, max_events, MOST_BYTES)
    }

    fn bounded(directory: &Path, max_events: u64, max_bytes: u64) -> Result<Self> {
        let writer = StoreWriter::create(directory).with_context(|| {
            format!("failed to make the event store in {}", directory.display())
        })?;
        let (queue, frames) = mpsc::channel::<Vec<u8>>(QUEUE);
        let (tell, done) = oneshot::channel();
        std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || {
                // Nobody listens where the audit itself was dropped.
                let _ = tell.send(record(writer, frames, max_events, max_bytes));
            })
            .context("failed to start the recorder")?;
        Ok(Self { queue, done })
    }

    /// Hands over a frame; false where the recorder has given up.
    pub(crate) async fn push(&self, payload: Vec<u8>) -> bool {
        self.queue.send(payload).await.is_ok()
    }

    /// Waits until all is stored.
    pub(crate) async fn finish(self) -> Kept {
        drop(self.queue);
        self.done.await.unwrap_or_else(|_| Kept {
            problem: Some("the recorder ended early".into()),
            ..Kept::default()
        })
    }
}

fn record(
    mut writer: StoreWriter,
    mut frames: mpsc::Receiver<Vec<u8>>,
    max_events: u64,
    max_bytes: u64,
) -> Kept {
    let mut kept = Kept::default();
    let mut room = max_events;
    while let Some(payload) = frames.blocking_recv() {
        if writer.written() >= max_bytes {
            room = 0;
        }
        let mut events = vec![];
        for record in decode::decode_all(&payload) {
            match record {
                Ok(event) if room == 0 => {
                    kept.dropped[event.kind.family() as usize] += 1;
                }
                Ok(event) => {
                    room -= 1;
                    if event.kind == Kind::Exec && event.result >= 0 {
                        kept.executed.insert(event.process.tgid);
                    }
                    events.push(event);
                }
                Err(_) => kept.malformed += 1,
            }
        }
        if writer.append(&events).is_err() {
            break;
        }
    }
    kept.problem = writer.finish().problem;
    kept
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use pyti_analyzer::store;
    use pyti_trace_ebpf::{RECORD_SIZE, VERSION, kind};

    use super::*;

    /// The record of a program that process 42 executed.
    fn exec() -> Vec<u8> {
        let mut record = vec![0; RECORD_SIZE];
        let mut set = |at: usize, bytes: &[u8]| {
            record[at..at + bytes.len()].copy_from_slice(bytes);
        };
        set(0, &(RECORD_SIZE as u32).to_le_bytes());
        set(4, &VERSION.to_le_bytes());
        set(6, &kind::EXEC.to_le_bytes());
        set(32, &42u32.to_le_bytes());
        record
    }

    async fn kept(max_events: u64, max_bytes: u64) -> Kept {
        let directory = tempfile::tempdir().unwrap();
        let recorder = Recorder::bounded(directory.path(), max_events, max_bytes).unwrap();
        for _ in 0..5 {
            assert!(recorder.push(exec()).await);
        }
        recorder.finish().await
    }

    #[tokio::test]
    async fn what_was_handed_over_is_kept_before_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let recorder = Recorder::start(directory.path(), 100).unwrap();
        assert!(recorder.push(exec()).await);
        let kept = || store::read(directory.path(), 100).unwrap().events.len();
        let deadline = Instant::now() + Duration::from_secs(10);
        // Nothing follows, and nobody says that it is over.
        while kept() == 0 {
            assert!(Instant::now() < deadline, "it waits for more");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(kept(), 1);
        assert!(recorder.finish().await.dropped_none());
    }

    #[tokio::test]
    async fn what_is_over_the_bounds_is_counted() {
        let family = Family::Process as usize;
        let all = kept(100, 1 << 20).await;
        assert_eq!((all.malformed, all.dropped[family]), (0, 0));
        assert!(all.executed.contains(&42) && all.dropped_none());
        assert_eq!(kept(2, 1 << 20).await.dropped[family], 3);
        // Written, an event is longer than its record.
        let bytes = kept(100, RECORD_SIZE as u64 + 1).await;
        assert_eq!(bytes.dropped[family], 4);
        assert!(!bytes.dropped_none());
    }
}
