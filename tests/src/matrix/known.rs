//! Cells that are not covered, or not in full, and why.

use super::{Cell, Seen};

/// One of them.
pub(super) struct Known {
    pub(super) action: &'static str,
    pub(super) road: &'static str,
    /// The fields that are missing or wrong, in the order in which they are compared; [`EVENT`].
    lacks: &'static str,
    pub(super) reason: &'static str,
}

/// There is no event at all.
const EVENT: &str = "event";

const fn known(
    action: &'static str,
    road: &'static str,
    lacks: &'static str,
    reason: &'static str,
) -> Known {
    Known {
        action,
        road,
        lacks,
        reason,
    }
}

const MEMORY: &str = "bytes that are written through memory pass no hook";
const UNCHANGED: &str = "it changes nothing: an ordinary user has one id, in its own namespace too";
const PEER: &str = "a unix socket's peer stands in the event of its connection";
const BOUND: &str = "a unix socket's address stands in the event of its binding";
const WHICH_MOUNT: &str = "of which mount, only the caller's memory says";

/// All of them.
pub(super) const KNOWN: &[Known] = &[
    known(
        "open",
        "O_PATH",
        "path",
        "nothing is opened, so no hook resolves it",
    ),
    known(
        "open",
        "io_uring-polled",
        "flags",
        "where the kernel tries it at once, which must not block, it adds O_NONBLOCK",
    ),
    known(
        "open-denied",
        "open_by_handle_at",
        EVENT,
        "it is refused before the handle is read, for want of CAP_DAC_READ_SEARCH",
    ),
    known(
        "write",
        "splice-refused",
        "data",
        "a part that was sampled on its way was refused then: the sample is dropped",
    ),
    known(
        "write",
        "io_uring-fixed",
        "data",
        "the pages were registered before: what lies at their address now may be anything",
    ),
    known("write", "mmap", "bytes data", MEMORY),
    known("write", "mprotect", "bytes data", MEMORY),
    known("listen", "unix", "path", BOUND),
    known("listen", "unix-abstract", "path", BOUND),
    known("listen", "unix-seqpacket", "path", BOUND),
    known("listen", "unix-relative", "path", BOUND),
    known("send", "unix", "path", PEER),
    known("send", "unix-abstract", "path", PEER),
    known("send", "unix-seqpacket", "path", PEER),
    known("send", "unix-relative", "path", PEER),
    known("send", "netlink", EVENT, "only the kernel hears it"),
    known(
        "send",
        "udp-sendmmsg-two-pieces",
        "data-2",
        "the second one is seen at its end, where the kernel has gone on through its pieces",
    ),
    known(
        "accept-interrupted",
        "tcp4",
        "result",
        "whether the call fails or is made anew is settled behind the probe",
    ),
    known(
        "mmap_exec",
        "shmat",
        "result",
        "it is recorded at the attempt, since other roads than mmap() end elsewhere",
    ),
    known("creds", "setuid", EVENT, UNCHANGED),
    known("creds", "setresgid", EVENT, UNCHANGED),
    known("tamper", "mount_setattr", "path", WHICH_MOUNT),
    known("tamper", "int80-mount_setattr", "path", WHICH_MOUNT),
    known("tamper-refused", "mount_setattr", "path", WHICH_MOUNT),
];

/// What a cell lacks; empty where it is right.
pub(super) fn lacking(cell: &Cell) -> String {
    match &cell.seen {
        Seen::Right => String::new(),
        Seen::Differs(differences) => {
            let fields: Vec<&str> = differences.iter().map(|one| one.field.as_str()).collect();
            fields.join(" ")
        }
        Seen::Events(0) => EVENT.to_owned(),
        Seen::Events(many) => format!("{many} events"),
    }
}

/// What a cell is known to lack; empty where nothing.
pub(super) fn explained(cell: &Cell) -> &'static str {
    find(cell).map_or("", |known| known.lacks)
}

/// Why.
pub(super) fn reason(cell: &Cell) -> &'static str {
    find(cell).map_or("not known why", |known| known.reason)
}

fn find(cell: &Cell) -> Option<&'static Known> {
    KNOWN
        .iter()
        .find(|known| known.action == cell.action && known.road == cell.road)
}
