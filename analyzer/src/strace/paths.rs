//! What a trace tells of paths.
//!
//! strace shows the path as it was asked for, and with -y what a descriptor stands for, resolved by
//! the kernel. A path of which only the text is known may lead elsewhere: any name on it may be a
//! symbolic link. So the importer keeps what it saw to be none: whatever stood for a descriptor,
//! with the directories above it, and directories made during the trace. Symbolic links made during
//! the trace are followed. A path with any other name on it is not sure.

use std::collections::{HashMap, HashSet};

/// Paths kept of each kind of knowledge. What is beyond is not learned, so less is sure.
const MAX_KNOWN: usize = 400_000;
/// Symbolic links kept. Beyond, no path that was not resolved by the kernel is sure.
const MAX_LINKS: usize = 65_536;
/// Symbolic links followed in one path, as the kernel's `MAXSYMLINKS` in include/linux/namei.h.
const MAX_FOLLOWED: usize = 40;
/// `PATH_MAX` in include/uapi/linux/limits.h, with room: a longer path is not followed further.
const MAX_LENGTH: usize = 8192;
/// Links looked at for renames of directories above them. Beyond, no text is sure any more.
const MAX_MOVES: usize = 20_000_000;

/// Device and number of a file, as a stat of it told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Device as [`pyti_trace::event::Event::dev`] has it.
    pub dev: u64,
    /// Inode.
    pub inode: u64,
    /// Links; `None` where it was not told.
    pub nlink: Option<u32>,
}

/// A path made absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The path, without `.` and `..`.
    pub path: String,
    /// It is known not to lead elsewhere.
    pub sure: bool,
}

/// Whether the last name of a path is followed where it is a symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// As open and chmod do.
    Followed,
    /// As unlink and rename do.
    Itself,
}

/// The knowledge.
#[derive(Debug, Default)]
pub struct Paths {
    /// No symbolic link stands there.
    real: HashSet<String>,
    /// Symbolic links made during the trace.
    links: HashMap<String, String>,
    /// Nothing was there when last looked.
    absent: HashSet<String>,
    /// Directories made during the trace.
    made: HashSet<String>,
    identities: HashMap<String, Identity>,
    /// A root directory or a mount changed, or there were too many links: no text is sure any more.
    shifted: bool,
    /// See [`MAX_MOVES`].
    moves: usize,
}

impl Paths {
    /// `asked`, from `base` where it is relative. `None`: the base is not known.
    pub fn resolve(&self, base: Option<&Resolved>, asked: &str, last: Last) -> Option<Resolved> {
        let (mut path, mut sure) = if asked.starts_with('/') {
            (String::new(), true)
        } else {
            let base = base?;
            (base.path.trim_end_matches('/').to_owned(), base.sure)
        };
        sure &= !self.shifted;
        let names = |text: &str| -> Vec<String> {
            let names = text.split('/').filter(|name| !matches!(*name, "" | "."));
            names.map(str::to_owned).rev().collect()
        };
        let mut left = names(asked);
        // A slash behind a link's name follows it.
        let itself = last == Last::Itself && !asked.ends_with('/');
        let mut followed = 0;
        while let Some(name) = left.pop() {
            if name == ".." {
                path.truncate(path.rfind('/').unwrap_or(0));
                continue;
            }
            path.push('/');
            path.push_str(&name);
            if itself && left.is_empty() {
                break;
            }
            if let Some(target) = self.links.get(&path) {
                followed += 1;
                if followed > MAX_FOLLOWED || path.len() > MAX_LENGTH {
                    return Some(Resolved { path, sure: false });
                }
                path.truncate(path.rfind('/').unwrap_or(0));
                if target.starts_with('/') {
                    path.clear();
                }
                left.extend(names(target));
            } else if !self.real.contains(&path) {
                sure = false;
            }
        }
        if path.is_empty() {
            path.push('/');
        }
        // What stands in /proc depends on who looks, and its links are the kernel's own.
        sure &= !path.starts_with("/proc/");
        Some(Resolved { path, sure })
    }

    /// The kernel resolved something to this path.
    pub fn saw(&mut self, path: &str) {
        self.absent.remove(path);
        let mut rest = path;
        while !rest.is_empty() && self.real.len() < MAX_KNOWN && !self.real.contains(rest) {
            self.links.remove(rest);
            self.real.insert(rest.to_owned());
            rest = &rest[..rest.rfind('/').unwrap_or(0)];
        }
    }

    /// A lookup of it found nothing.
    pub fn missed(&mut self, path: &str) {
        if self.absent.len() < MAX_KNOWN && !self.real.contains(path) {
            self.absent.insert(path.to_owned());
        }
    }

    /// A stat of it told which file it is.
    pub fn identify(&mut self, path: &str, identity: Identity) {
        if self.identities.len() < MAX_KNOWN || self.identities.contains_key(path) {
            self.identities.insert(path.to_owned(), identity);
        }
    }

    /// Which file it is, where something told.
    pub fn identity(&self, path: &str) -> Option<Identity> {
        self.identities.get(path).copied()
    }

    /// Whether an open that may create `path` makes it; `None`: not known.
    pub fn is_new(&self, path: &str) -> Option<bool> {
        if self.real.contains(path) {
            return Some(false);
        }
        let above = path.rfind('/').map(|at| &path[..at]).unwrap_or_default();
        (self.absent.contains(path) || self.made.contains(above)).then_some(true)
    }

    /// A directory was made.
    pub fn made_directory(&mut self, at: &Resolved) {
        self.forget(&at.path);
        if at.sure && self.real.len() < MAX_KNOWN {
            self.real.insert(at.path.clone());
            self.made.insert(at.path.clone());
        }
    }

    /// A symbolic link was made.
    pub fn linked(&mut self, at: &str, target: &str) {
        self.forget(at);
        if self.links.len() < MAX_LINKS {
            self.links.insert(at.to_owned(), target.to_owned());
        } else {
            self.shifted = true;
        }
    }

    /// A file has a further name.
    pub fn shared(&mut self, from: &str, to: &str) {
        self.absent.remove(to);
        match self.identity(from) {
            // Its number of links has changed.
            Some(identity) => {
                let identity = Identity {
                    nlink: None,
                    ..identity
                };
                self.identify(from, identity);
                self.identify(to, identity);
            }
            None => {
                self.identities.remove(to);
            }
        }
    }

    /// It was removed.
    pub fn removed(&mut self, path: &str) {
        self.forget(path);
        self.missed(path);
    }

    /// It has another name now.
    pub fn renamed(&mut self, from: &str, to: &Resolved) {
        let (real, made) = (self.real.contains(from), self.made.contains(from));
        let identity = self.identity(from);
        let link = self.links.get(from).cloned();
        self.forget(from);
        self.forget(&to.path);
        if real && to.sure {
            self.real.insert(to.path.clone());
        }
        if made && to.sure {
            self.made.insert(to.path.clone());
        }
        if let Some(identity) = identity {
            self.identify(&to.path, identity);
        }
        if let Some(target) = link {
            self.links.insert(to.path.clone(), target);
        }
        // Links below a directory move with it.
        self.moves += self.links.len();
        if self.moves > MAX_MOVES {
            self.links.clear();
            self.shifted = true;
        }
        let below = format!("{from}/");
        let moved: Vec<String> = self
            .links
            .keys()
            .filter(|path| path.starts_with(&below))
            .cloned()
            .collect();
        for path in moved {
            if let Some(target) = self.links.remove(&path) {
                self.links
                    .insert(format!("{}/{}", to.path, &path[below.len()..]), target);
            }
        }
        self.missed(from);
    }

    /// From now on the same text may mean another file: chroot, mount, another mount namespace.
    pub fn shift(&mut self) {
        self.shifted = true;
    }

    /// See [`Paths::shift`].
    pub fn is_shifted(&self) -> bool {
        self.shifted
    }

    /// It is known to be no symbolic link.
    pub fn is_real(&self, path: &str) -> bool {
        self.real.contains(path)
    }

    fn forget(&mut self, path: &str) {
        self.real.remove(path);
        self.made.remove(path);
        self.links.remove(path);
        self.absent.remove(path);
        self.identities.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(paths: &Paths, asked: &str, last: Last) -> (String, bool) {
        let base = Resolved {
            path: "/tmp/w".to_owned(),
            sure: true,
        };
        let resolved = paths.resolve(Some(&base), asked, last).unwrap();
        (resolved.path, resolved.sure)
    }

    #[test]
    fn only_what_was_seen_is_sure() {
        let mut paths = Paths::default();
        assert_eq!(at(&paths, "a", Last::Itself), ("/tmp/w/a".into(), true));
        assert_eq!(at(&paths, "a", Last::Followed), ("/tmp/w/a".into(), false));
        assert_eq!(
            at(&paths, "/tmp/w/a", Last::Itself),
            ("/tmp/w/a".into(), false)
        );
        paths.saw("/tmp/w/a");
        assert_eq!(
            at(&paths, "/tmp//w/./a", Last::Followed),
            ("/tmp/w/a".into(), true)
        );
        assert_eq!(
            at(&paths, "../x/../w/b", Last::Itself),
            ("/tmp/w/b".into(), false)
        );
        assert_eq!(paths.resolve(None, "a", Last::Itself), None);
        paths.removed("/tmp/w/a");
        assert_eq!(at(&paths, "a", Last::Followed), ("/tmp/w/a".into(), false));
    }

    #[test]
    fn links_of_the_trace_are_followed_and_move() {
        let mut paths = Paths::default();
        paths.saw("/home/u/.ssh/id_rsa");
        paths.saw("/tmp/w/d/x");
        paths.linked("/tmp/w/d/l", "/home/u");
        assert_eq!(
            at(&paths, "d/l/.ssh/id_rsa", Last::Followed),
            ("/home/u/.ssh/id_rsa".into(), true)
        );
        assert_eq!(at(&paths, "d/l", Last::Itself), ("/tmp/w/d/l".into(), true));
        let to = paths.resolve(None, "/tmp/w/e", Last::Itself).unwrap();
        paths.renamed("/tmp/w/d", &to);
        assert_eq!(
            at(&paths, "e/l/.ssh", Last::Itself),
            ("/home/u/.ssh".into(), true)
        );
        paths.linked("/tmp/w/loop", "loop/x");
        assert!(!at(&paths, "loop/y", Last::Followed).1);
        paths.shift();
        assert!(!at(&paths, "e", Last::Followed).1);
    }

    #[test]
    fn whether_an_open_makes_a_file() {
        let mut paths = Paths::default();
        paths.saw("/tmp/w/old");
        assert_eq!(paths.is_new("/tmp/w/old"), Some(false));
        assert_eq!(paths.is_new("/tmp/w/new"), None);
        paths.missed("/tmp/w/new");
        assert_eq!(paths.is_new("/tmp/w/new"), Some(true));
        let made = paths.resolve(None, "/tmp/w/d", Last::Itself).unwrap();
        paths.made_directory(&made);
        assert_eq!(paths.is_new("/tmp/w/d/any"), Some(true));
    }
}
