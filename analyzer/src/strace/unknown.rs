//! Calls of which the trace does not tell what came of them: strace writes `= ?` where a signal or death
//! cut one short, or no end at all. Such a call may have been done all the same. So what is an event stays
//! one, with a result that is not known; nothing is learnt from it, and what it may have changed is not
//! sure any more. A call that the kernel makes anew after a signal is one more event.

use pyti_trace::event::{Event, Incomplete, Kind};

use super::call::Call;
use super::import::{Handler, Importer, Who};

/// What such a call is taken for while it is looked at: one that a signal cut short, and that changed
/// nothing.
const EINTR: i64 = -4;

impl Importer {
    /// A call without a result.
    pub(super) fn uncertain(&mut self, who: Who, mut call: Call<'_>, handler: Handler) {
        call.result = Some(EINTR);
        self.unknown = true;
        handler(self, who, &call);
        self.unknown = false;
    }

    /// What the thread has begun has no end.
    pub(super) fn unfinished(&mut self, who: Who) {
        if let Some(mut begun) = self.pending.remove(&who.tid) {
            begun.text.extend_from_slice(b") = ?");
            self.returned(who, &begun);
        }
    }

    /// The trace ends.
    pub(super) fn all_unfinished(&mut self) {
        let mut tids: Vec<u32> = self.pending.keys().copied().collect();
        tids.sort_unstable();
        for tid in tids {
            match self.processes.of(tid) {
                Some(process) => self.unfinished(Who { process, tid }),
                None => self.doubts.unended_calls += 1,
            }
        }
    }

    /// The process executed a program: of its threads only this one is left.
    pub(super) fn alone(&mut self, who: Who) {
        let process = self.processes.get(who.process).into_iter();
        let mut others: Vec<u32> = process
            .flat_map(|process| process.threads())
            .filter(|tid| *tid != who.tid && self.pending.contains_key(tid))
            .collect();
        others.sort_unstable();
        for tid in others {
            self.unfinished(Who { tid, ..who });
        }
        self.processes.alone(who.process, who.tid);
    }
}

/// Whether the path of such an event is told though nobody knows whether there is such a thing: not of what
/// it would execute, which counts as executed where it has a path.
pub(super) fn has_path(event: &Event) -> bool {
    is_unknown(event) && event.kind != Kind::Exec
}

fn is_unknown(event: &Event) -> bool {
    event.incomplete.contains(Incomplete::RESULT_UNKNOWN)
}

/// Puts an event of such a call right before it is kept.
pub(super) fn finish(event: &mut Event) {
    if !is_unknown(event) {
        return;
    }
    event.result = 0;
    if event.kind == Kind::Exec {
        event.incomplete |= Incomplete::PATH_UNREADABLE | Incomplete::TARGET_UNREADABLE;
    }
}
