//! What a trace tells of paths.
//!
//! strace shows the path as it was asked for, and with -y what a descriptor stands for, resolved by
//! the kernel. A path of which only the text is known may lead elsewhere: any name on it may be a
//! symbolic link. So the importer keeps what it saw to be none: whatever stood for a descriptor,
//! with the directories above it, and directories made during the trace. Symbolic links made during
//! the trace are followed. A path with any other name on it is not sure.

use std::collections::{BTreeMap, BTreeSet};

/// Paths kept of each kind of knowledge. What is beyond is not learned, so less is sure.
const MAX_KNOWN: usize = 400_000;
/// Symbolic links kept. Beyond, no path that was not resolved by the kernel is sure.
const MAX_LINKS: usize = 65_536;
/// Symbolic links followed in one path, as the kernel's `MAXSYMLINKS` in include/linux/namei.h.
const MAX_FOLLOWED: usize = 40;
/// `PATH_MAX` in include/uapi/linux/limits.h, with room: a longer path is not followed further.
const MAX_LENGTH: usize = 8192;
/// Links renamed with directories above them. Beyond, no text is sure any more.
const MAX_MOVES: usize = 20_000_000;
/// Names looked through for what was removed nobody knows where. Beyond, no text is sure any more.
const MAX_LOOKED: usize = 100_000_000;

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
    real: BTreeSet<String>,
    /// Symbolic links made during the trace.
    links: BTreeMap<String, String>,
    /// Nothing was there when last looked.
    absent: BTreeSet<String>,
    /// Directories made during the trace.
    made: BTreeSet<String>,
    /// Names in those where something stands, or may, that is not known.
    taken: BTreeSet<String>,
    identities: BTreeMap<String, Identity>,
    /// Files may have been given further names.
    pub shared: bool,
    /// A root directory or a mount changed, or there were too many links: no text is sure any more.
    shifted: bool,
    /// See [`MAX_MOVES`].
    moves: usize,
    /// See [`MAX_LOOKED`].
    looked: usize,
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
        self.taken.remove(path);
        let mut rest = path;
        while !rest.is_empty() && self.real.len() < MAX_KNOWN && !self.real.contains(rest) {
            self.links.remove(rest);
            self.real.insert(rest.to_owned());
            rest = &rest[..rest.rfind('/').unwrap_or(0)];
        }
    }

    /// A lookup of it found nothing.
    pub fn missed(&mut self, path: &str) {
        let is_sure = !self.shifted && !self.real.contains(path);
        if is_sure && self.absent.len() < MAX_KNOWN {
            self.taken.remove(path);
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
        let known = self.identities.get(path).filter(|_| !self.shifted);
        known.copied()
    }

    /// Whether an open that may create `path` makes it; `None`: not known.
    pub fn is_new(&self, path: &str) -> Option<bool> {
        if self.shifted || self.taken.contains(path) || self.links.contains_key(path) {
            return None;
        }
        if self.real.contains(path) {
            return Some(false);
        }
        (self.absent.contains(path) || self.made.contains(above(path))).then_some(true)
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

    /// What stands there, if anything, is not known any more; without a path it may be any.
    pub fn doubt(&mut self, at: Option<&Resolved>) {
        if let Some(at) = at {
            self.forget(&at.path);
        }
        match at.filter(|at| at.sure) {
            Some(at) => self.take(at.path.clone()),
            None => {
                self.absent.clear();
                self.made.clear();
            }
        }
    }

    /// Something may stand there that is not known.
    fn take(&mut self, path: String) {
        if !self.made.contains(above(&path)) {
            return;
        }
        if self.taken.len() < MAX_KNOWN {
            self.taken.insert(path);
        } else {
            self.shifted = true;
        }
    }

    /// Something of this name was removed, moved or replaced, and nobody knows where: of all that are called
    /// so, and of what is below them, nothing is known any more. Without a name it may be anything.
    pub fn lost(&mut self, name: Option<&str>) {
        if self.shifted {
            return;
        }
        self.looked += self.real.len() + self.links.len() + self.identities.len();
        if self.looked > MAX_LOOKED {
            self.shifted = true;
            return;
        }
        let may_be = |path: &str| name.is_none_or(|name| path.split('/').any(|one| one == name));
        self.identities.retain(|path, _| !may_be(path));
        let known = self.real.iter().chain(self.links.keys());
        let gone: Vec<String> = known.filter(|path| may_be(path)).cloned().collect();
        for path in gone {
            self.real.remove(&path);
            self.links.remove(&path);
            self.take(path);
        }
    }

    /// A directory that was known, as far as that still is where it was.
    pub fn still(&self, known: &Resolved) -> Resolved {
        let stands = known.path == "/" || self.real.contains(&known.path);
        Resolved {
            path: known.path.clone(),
            sure: known.sure && stands,
        }
    }

    /// A file has a further name.
    pub fn shared(&mut self, from: &str, to: &Resolved) {
        self.shared = true;
        let is_real = self.real.contains(from);
        // Its number of links has changed.
        let identity = self.identity(from).map(|identity| Identity {
            nlink: None,
            ..identity
        });
        self.doubt(Some(to));
        if is_real && to.sure {
            self.saw(&to.path);
        }
        if let Some(identity) = identity {
            self.identify(from, identity);
            self.identify(&to.path, identity);
        }
    }

    /// It was removed.
    pub fn removed(&mut self, path: &str) {
        self.forget(path);
        self.missed(path);
    }

    /// It has another name now.
    pub fn renamed(&mut self, from: &Resolved, to: &Resolved) {
        let is_real = self.real.contains(&from.path);
        let identity = self.identity(&from.path);
        let link = self.links.get(&from.path).cloned();
        // Links below a directory move with it.
        let begin = format!("{}/", from.path);
        let moved = below(self.links.range(begin.clone()..).map(first), &begin);
        let moved: Vec<(String, String)> = moved
            .into_iter()
            .filter_map(|path| {
                let target = self.links.remove(&path)?;
                Some((format!("{}/{}", to.path, &path[begin.len()..]), target))
            })
            .collect();
        self.moves += moved.len();
        if self.shared {
            // Two names of one file both stay.
            self.doubt(Some(from));
        } else {
            self.removed(&from.path);
        }
        self.doubt(Some(to));
        if is_real && to.sure {
            self.saw(&to.path);
        }
        if let Some(identity) = identity.filter(|_| to.sure) {
            self.identify(&to.path, identity);
        }
        if let Some(target) = link {
            self.links.insert(to.path.clone(), target);
        }
        self.links.extend(moved);
        if self.moves > MAX_MOVES {
            self.links.clear();
            self.shifted = true;
        }
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

    /// Forgets what stood there, and below.
    fn forget(&mut self, path: &str) {
        let begin = format!("{path}/");
        for names in [
            &mut self.real,
            &mut self.made,
            &mut self.absent,
            &mut self.taken,
        ] {
            names.remove(path);
            for name in below(names.range(begin.clone()..), &begin) {
                names.remove(&name);
            }
        }
        self.links.remove(path);
        for name in below(self.links.range(begin.clone()..).map(first), &begin) {
            self.links.remove(&name);
        }
        self.identities.remove(path);
        for name in below(self.identities.range(begin.clone()..).map(first), &begin) {
            self.identities.remove(&name);
        }
    }
}

/// The directory that a path is in.
fn above(path: &str) -> &str {
    path.rfind('/').map(|at| &path[..at]).unwrap_or_default()
}

/// The names below a directory, of ordered ones from `begin` on: its path with a slash.
fn below<'a>(names: impl Iterator<Item = &'a String>, begin: &str) -> Vec<String> {
    let below = names.take_while(|name| name.starts_with(begin));
    below.cloned().collect()
}

fn first<'a, V>((name, _): (&'a String, &'a V)) -> &'a String {
    name
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
        let from = paths.resolve(None, "/tmp/w/d", Last::Itself).unwrap();
        paths.renamed(&from, &to);
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
        paths.shift();
        assert_eq!(paths.is_new("/tmp/w/d/any"), None);
        assert_eq!(paths.is_new("/tmp/w/old"), None);
    }

    #[test]
    fn what_is_lost_is_looked_for_within_bounds() {
        let mut paths = Paths::default();
        paths.saw("/tmp/w/a");
        let made = paths.resolve(None, "/tmp/w/d", Last::Itself).unwrap();
        paths.made_directory(&made);
        paths.saw("/tmp/w/d/x");
        paths.lost(Some("x"));
        assert_eq!(paths.is_new("/tmp/w/d/x"), None);
        assert_eq!(paths.is_new("/tmp/w/d/y"), Some(true));
        assert!(at(&paths, "a", Last::Followed).1);
        paths.looked = MAX_LOOKED;
        paths.lost(Some("x"));
        assert!(!at(&paths, "a", Last::Followed).1);
    }

    #[test]
    fn names_that_are_given_to_what_is_there() {
        let sure = |path: &str| Resolved {
            path: path.to_owned(),
            sure: true,
        };
        let mut paths = Paths::default();
        for path in ["/w/real", "/w/dir/old", "/w/x/y"] {
            paths.saw(path);
        }
        paths.made_directory(&sure("/w/d"));
        paths.renamed(&sure("/w/other"), &sure("/w/d/other"));
        paths.renamed(&sure("/w/real"), &sure("/w/d/real"));
        assert_eq!(paths.is_new("/w/d/other"), None);
        assert_eq!(paths.is_new("/w/d/real"), Some(false));
        assert_eq!(paths.is_new("/w/real"), Some(true));
        // With the directory comes what is in it.
        paths.missed("/w/e/old");
        paths.renamed(&sure("/w/dir"), &sure("/w/e"));
        assert_eq!(paths.is_new("/w/e/old"), None);
        assert_eq!(paths.is_new("/w/dir/old"), None);
        paths.renamed(&sure("/w/d"), &sure("/w/f"));
        assert_eq!(paths.is_new("/w/f/other"), None);
        // Both names of one file stay where one is given the other.
        paths.shared("/w/x/y", &sure("/w/x/z"));
        assert_eq!(paths.is_new("/w/x/z"), Some(false));
        paths.renamed(&sure("/w/x/y"), &sure("/w/x/z"));
        assert_eq!(paths.is_new("/w/x/y"), None);
        // Where the name leads is not known.
        paths.missed("/w/g");
        paths.doubt(Some(&Resolved {
            path: "/w/maybe-a-link/g".to_owned(),
            sure: false,
        }));
        assert_eq!(paths.is_new("/w/g"), None);
    }
}
