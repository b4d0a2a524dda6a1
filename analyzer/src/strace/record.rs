//! Events as they are made from calls.

use pyti_trace::event::{Event, Incomplete, Kind, ProcessKey};

use super::arg::{Arg, Shown};
use super::import::Importer;
use super::paths::{Last, Resolved};
use super::text::text;
use super::unknown;

/// Bytes of texts in all events together: a working directory of 4 KiB stands in every exec.
const MAX_TEXT: usize = 1 << 30;

/// An event under way, by a process.
#[derive(Debug)]
pub struct Draft {
    /// The event. Its processes are filled in when it is kept.
    pub event: Event,
    /// The number of the doing process.
    pub process: usize,
    /// The number of the process that it is about.
    pub other: Option<usize>,
}

impl Importer {
    /// The first fields of an event.
    pub(super) fn draft(&self, kind: Kind, process: usize, tid: u32, result: i64) -> Draft {
        let doer = self.processes.get(process);
        let mut incomplete = Incomplete::empty();
        let comm = doer.and_then(|doer| doer.comm.clone());
        let uid = doer.and_then(|doer| doer.uid);
        incomplete.set(Incomplete::COMM_UNKNOWN, comm.is_none());
        incomplete.set(Incomplete::UID_UNKNOWN, uid.is_none());
        incomplete.set(Incomplete::RESULT_UNKNOWN, self.unknown);
        Draft {
            event: Event {
                tid,
                uid: uid.unwrap_or_default(),
                comm: comm.unwrap_or_default(),
                // Descriptors and the like say nothing to a rule.
                result: result.min(0),
                incomplete,
                ..Event::new(kind, ProcessKey::default(), self.now_ns)
            },
            process,
            other: None,
        }
    }

    /// Keeps an event.
    pub(super) fn keep(&mut self, draft: Draft) {
        let Draft {
            mut event,
            process,
            other,
        } = draft;
        unknown::finish(&mut event);
        self.text += size(&event);
        if self.events.len() >= self.limits.events || self.text > MAX_TEXT {
            let number = self.events.len();
            self.doubts
                .limit
                .get_or_insert_with(|| format!("only the first {number} events were kept"));
            return;
        }
        if let Some(doer) = self.processes.get(process) {
            event.process = doer.key;
            let parent = doer.parent.and_then(|parent| self.processes.get(parent));
            event.parent = parent.map(|parent| parent.key).unwrap_or_default();
        }
        if let Some(other) = other.and_then(|other| self.processes.get(other)) {
            event.other = Some(other.key);
        }
        // Events are ordered by their times, and strace's clock counts microseconds. Another one may have
        // been kept since this one was begun.
        event.seq = self.events.len() as u64;
        event.time_ns = self.now_ns;
        self.now_ns += 1;
        // That a program was there and ended is told without any call.
        if event.kind != Kind::Exit {
            self.doubts.told[event.kind.family() as usize] = true;
        }
        self.events.push(event);
    }

    /// What a path argument asks for, from the working directory or the descriptor `at`.
    pub(super) fn asked(
        &mut self,
        process: usize,
        at: Option<&Arg<'_>>,
        path: Option<&Arg<'_>>,
        last: Last,
    ) -> Asked {
        let base = self.base(process, at);
        let mut asked = Asked {
            asked: None,
            cut: false,
            escaped: false,
            base: base.as_ref().map(|base| base.path.clone()),
            resolved: None,
            nameless: false,
        };
        if let Some(Arg::Text(bytes, cut)) = path {
            let (path, escaped) = text(bytes);
            // An empty path is the descriptor itself (AT_EMPTY_PATH).
            asked.resolved = if path.is_empty() {
                base
            } else {
                match self.through_descriptor(process, &path) {
                    Some((resolved, nameless)) => {
                        asked.nameless = nameless;
                        Some(resolved)
                    }
                    None => self.paths.resolve(base.as_ref(), &path, last),
                }
            };
            if *cut && let Some(resolved) = &mut asked.resolved {
                resolved.sure = false;
            }
            (asked.asked, asked.cut, asked.escaped) = (Some(path), *cut, escaped);
        }
        asked
    }

    /// Where relative paths start; learns what is shown.
    fn base(&mut self, process: usize, at: Option<&Arg<'_>>) -> Option<Resolved> {
        let here = at.is_none_or(|at| at.word() == Some("AT_FDCWD"));
        if let Some(Shown::File { path, .. }) = at.and_then(Arg::shown) {
            let known = self.processes.directory(process);
            if here && known.is_none_or(|known| known.path != *path || !known.sure) {
                let directory = Resolved {
                    path: path.clone(),
                    sure: true,
                };
                self.tell_directory(process, &directory);
                self.processes.set_directory(process, Some(directory));
            }
            self.doubts.any_shown = true;
            self.paths.saw(path);
            return Some(Resolved {
                path: path.clone(),
                sure: true,
            });
        }
        if here {
            let known = self.processes.directory(process)?;
            return Some(self.paths.still(known));
        }
        let fd = at?.int().and_then(|fd| i32::try_from(fd).ok())?;
        let known = self.processes.descriptor(process, fd)?.path.as_ref()?;
        Some(Resolved {
            path: known.to_string(),
            sure: true,
        })
    }

    /// The first program's working directory is told by its first call that shows it.
    fn tell_directory(&mut self, process: usize, directory: &Resolved) {
        let index = self
            .processes
            .get_mut(process)
            .and_then(|process| process.here.take());
        let Some(event) = index.and_then(|index| self.events.get_mut(index)) else {
            return;
        };
        if event.kind != Kind::Exec {
            return;
        }
        event.cwd = Some(directory.path.clone());
        event.incomplete.remove(Incomplete::CWD_INCOMPLETE);
        if let (None, Some(asked)) = (&event.path, &event.asked)
            && let Some(resolved) = self.paths.resolve(Some(directory), asked, Last::Followed)
        {
            event.path = Some(resolved.path);
            event.incomplete.remove(Incomplete::PATH_UNREADABLE);
            event.incomplete.remove(Incomplete::PATH_UNRESOLVED);
        }
    }

    /// `/proc/self/fd/N` and `/dev/fd/N`, where the descriptor is known, and whether that file has no
    /// name.
    fn through_descriptor(&self, process: usize, path: &str) -> Option<(Resolved, bool)> {
        let fd = path
            .strip_prefix("/dev/fd/")
            .or_else(|| path.strip_prefix("/proc/self/fd/"))
            .or_else(|| path.strip_prefix("/proc/thread-self/fd/"))
            .or_else(|| {
                let (pid, fd) = path.strip_prefix("/proc/")?.split_once("/fd/")?;
                let own = self.processes.get(process)?.key.tgid;
                (pid.parse() == Ok(own)).then_some(fd)
            })?;
        let known = self.processes.descriptor(process, fd.parse().ok()?)?;
        let resolved = Resolved {
            path: known.path.as_ref()?.to_string(),
            sure: true,
        };
        Some((resolved, known.nameless))
    }
}

/// A path that was asked for.
#[derive(Debug)]
pub struct Asked {
    /// As it was asked for.
    pub asked: Option<String>,
    /// strace cut it.
    pub cut: bool,
    /// It held bytes that are no text.
    pub escaped: bool,
    /// Where it starts from, if it is relative.
    pub base: Option<String>,
    /// Made absolute.
    pub resolved: Option<Resolved>,
    /// It is a file without a name, by its descriptor.
    pub nameless: bool,
}

impl Asked {
    /// The path, where it is known not to lead elsewhere.
    pub fn sure(&self) -> Option<&str> {
        let resolved = self.resolved.as_ref().filter(|one| one.sure);
        resolved.map(|one| one.path.as_str())
    }

    /// The last name on the path, where that is one: whatever leads there, what is removed is called so.
    pub fn name(&self) -> Option<&str> {
        let asked = self.asked.as_deref().filter(|_| !self.cut)?;
        let name = crate::tree::base_name(asked);
        (!matches!(name, "" | "." | "..")).then_some(name)
    }

    /// Sets the asked path, and the path as far as it is known; of a call that failed only what was
    /// asked, as the probes do.
    pub fn apply(&self, event: &mut Event) {
        let incomplete = &mut event.incomplete;
        event.asked.clone_from(&self.asked);
        incomplete.set(Incomplete::ASKED_UNREADABLE, self.asked.is_none());
        incomplete.set(Incomplete::ASKED_TRUNCATED, self.cut);
        if self.escaped {
            *incomplete |= Incomplete::ESCAPED;
        }
        let relative = self
            .asked
            .as_ref()
            .is_some_and(|path| !path.starts_with('/'));
        // Where it starts from is not known.
        let adrift = relative && self.base.is_none();
        incomplete.set(Incomplete::PATH_UNRESOLVED, adrift);
        if event.result < 0 {
            event.cwd = self.base.clone().filter(|_| relative);
            if !unknown::has_path(event) {
                return;
            }
        }
        let incomplete = &mut event.incomplete;
        incomplete.set(Incomplete::PATH_UNREADABLE, self.resolved.is_none());
        if let Some(resolved) = &self.resolved {
            event.path = Some(resolved.path.clone());
            incomplete.set(Incomplete::PATH_UNRESOLVED, !resolved.sure);
            incomplete.set(Incomplete::PATH_TRUNCATED, self.cut);
        }
    }

    /// Sets the target.
    pub fn apply_target(&self, event: &mut Event) {
        let incomplete = &mut event.incomplete;
        incomplete.set(Incomplete::TARGET_UNREADABLE, self.resolved.is_none());
        if let Some(resolved) = &self.resolved {
            event.target = Some(resolved.path.clone());
            incomplete.set(Incomplete::TARGET_UNRESOLVED, !resolved.sure);
            incomplete.set(Incomplete::TARGET_TRUNCATED, self.cut);
        }
    }
}

/// The longest texts of an event, bytes.
fn size(event: &Event) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let list = |list: &Option<Vec<String>>| -> usize {
        list.iter().flatten().map(|item| item.len() + 24).sum()
    };
    text(&event.path)
        + text(&event.asked)
        + text(&event.target)
        + text(&event.cwd)
        + list(&event.argv)
        + list(&event.env)
        + event.data.as_ref().map_or(0, Vec::len)
}
