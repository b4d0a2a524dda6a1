//! Which descriptors stand for terminals.
//!
//! The probes tell type, permissions, device and inode of what is duplicated; its name they told when it
//! was opened. strace tells the name, and no permissions.

use std::collections::HashMap;

use pyti_trace::event::{Event, Incomplete, Kind};

/// `S_IFMT`, `S_IFCHR`: include/uapi/linux/stat.h. A block device's type and a symbolic link's have the bit
/// of a character device's in them.
const S_IFMT: u32 = 0o170_000;
const S_IFCHR: u32 = 0o020_000;
const PERMISSIONS: u32 = 0o777;
/// What everybody may use, such as `/dev/null`. A terminal is its user's.
const FOR_ALL: u32 = 0o666;

/// Whether a device of this path is a terminal: one that a program serves, one of the machine's, or whichever
/// is the process's own.
pub(crate) fn is_terminal(path: &str) -> bool {
    let Some(name) = path.strip_prefix("/dev/") else {
        return false;
    };
    match name.strip_prefix("pts/") {
        Some(number) => !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()),
        None => name == "console" || name.starts_with("tty") && !name.contains('/'),
    }
}

/// By duplication of a character device, whether that is a terminal. One that was opened unseen, or below
/// a root of a process's own, is known by its permissions alone.
pub(super) fn terminals(events: &[Event]) -> HashMap<usize, bool> {
    let mut opened: HashMap<(u64, u64), bool> = HashMap::new();
    let mut found = HashMap::new();
    for (index, event) in events.iter().enumerate() {
        let file = event.dev.zip(event.inode);
        match (event.kind, event.mode) {
            (Kind::Open, _) => {
                let path = event.path.as_deref().filter(|_| is_whole(event));
                let device = path.filter(|path| path.starts_with("/dev/"));
                if let Some((file, path)) = file.zip(device) {
                    opened.insert(file, is_terminal(path));
                }
            }
            (Kind::Dup, Some(mode)) if mode & S_IFMT == S_IFCHR => {
                let named = event.path.as_deref().map(is_terminal);
                let known = named.or_else(|| opened.get(&file?).copied());
                found.insert(index, known.unwrap_or(mode & PERMISSIONS != FOR_ALL));
            }
            _ => {}
        }
    }
    found
}

/// The path is the object's.
fn is_whole(event: &Event) -> bool {
    let doubts = Incomplete::PATH_UNRESOLVED | Incomplete::PATH_RACED | Incomplete::PATH_TRUNCATED;
    event.outcome().is_some_and(|result| result >= 0) && !event.incomplete.intersects(doubts)
}

#[cfg(test)]
mod tests {
    use pyti_trace::event::ProcessKey;

    use super::*;

    fn event(kind: Kind, inode: u64) -> Event {
        Event {
            dev: Some(7),
            inode: Some(inode),
            ..Event::new(kind, ProcessKey::default(), 1)
        }
    }

    fn dup(mode: u32, inode: u64) -> Event {
        Event {
            mode: Some(mode),
            ..event(Kind::Dup, inode)
        }
    }

    fn open(path: &str, inode: u64) -> Event {
        Event {
            path: Some(path.to_owned()),
            ..event(Kind::Open, inode)
        }
    }

    #[test]
    fn terminals_by_their_paths() {
        for path in [
            "/dev/pts/0",
            "/dev/pts/17",
            "/dev/tty",
            "/dev/tty1",
            "/dev/ttyS0",
            "/dev/console",
        ] {
            assert!(is_terminal(path), "{path}");
        }
        for path in [
            "/dev/null",
            "/dev/ptmx",
            "/dev/pts/ptmx",
            "/dev/pts/",
            "/dev/sda",
            "/dev/tty/x",
            "/dev/shm/tty",
            "/tmp/dev/pts/0",
        ] {
            assert!(!is_terminal(path), "{path}");
        }
    }

    /// What is told of the last one, a duplication.
    fn last(events: &[Event]) -> Option<bool> {
        terminals(events).get(&(events.len() - 1)).copied()
    }

    #[test]
    fn only_a_character_device_is_one() {
        for (mode, told) in [
            (0o020_620, Some(true)),
            (0o020_000, Some(true)),
            (0o020_666, Some(false)),
            // A block device, a symbolic link (O_PATH), a pipe, a file, nothing that is known.
            (0o060_660, None),
            (0o120_777, None),
            (0o010_600, None),
            (0o100_644, None),
            (0, None),
        ] {
            assert_eq!(last(&[dup(mode, 3)]), told, "{mode:o}");
        }
    }

    #[test]
    fn the_name_by_which_it_was_opened_counts_for_more_than_its_permissions() {
        let (free, private) = (0o020_666, 0o020_640);
        assert_eq!(last(&[open("/dev/pts/0", 3), dup(free, 3)]), Some(true));
        assert_eq!(last(&[open("/dev/tty", 4), dup(free, 4)]), Some(true));
        assert_eq!(last(&[open("/dev/mem", 5), dup(private, 5)]), Some(false));
        // Another file.
        assert_eq!(last(&[open("/dev/mem", 5), dup(private, 6)]), Some(true));
        // In mounts of a process's own.
        let elsewhere = Event {
            incomplete: Incomplete::PATH_UNRESOLVED,
            ..open("/dev/mem", 5)
        };
        assert_eq!(last(&[elsewhere, dup(private, 5)]), Some(true));
        let unknown = Event {
            incomplete: Incomplete::RESULT_UNKNOWN,
            ..open("/dev/mem", 5)
        };
        assert_eq!(last(&[unknown, dup(private, 5)]), Some(true));
        // As strace tells it.
        let zero = Event {
            path: Some("/dev/zero".to_owned()),
            ..dup(0o020_000, 5)
        };
        assert_eq!(last(&[zero]), Some(false));
    }
}
