//! Reading distributions without unpacking them: members are listed and small texts are read into
//! memory, within hard limits. Nothing is ever written under a name that an archive chose.

mod paths;
mod tarball;
mod zipfile;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use crate::filename::DistKind;
use crate::text::printable;
pub(crate) use zipfile::extract_member;

/// What an archive may demand of this host at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the archive file.
    pub file_bytes: u64,
    /// Bytes of all members together.
    pub expanded_bytes: u64,
    /// Bytes of one member.
    pub member_bytes: u64,
    /// Bytes of a member that is read into memory.
    pub text_bytes: u64,
    /// Bytes of all such members together.
    pub kept_bytes: u64,
    /// Number of members.
    pub members: usize,
    /// Bytes of a member's path.
    pub path_bytes: usize,
    /// Directories above a member.
    pub depth: usize,
    /// Expanded bytes for each compressed byte, counted from [`Self::ratio_from`] on.
    pub ratio: u64,
    /// Expanded bytes below which the ratio does not matter.
    pub ratio_from: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            file_bytes: 2048 * MIB,
            expanded_bytes: 8192 * MIB,
            member_bytes: 4096 * MIB,
            text_bytes: 4 * MIB,
            kept_bytes: 16 * MIB,
            members: 100_000,
            path_bytes: 1024,
            depth: 64,
            ratio: 200,
            ratio_from: 32 * MIB,
        }
    }
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link that stays inside, to this text.
    Symlink(String),
    /// A hard link to another member.
    Hardlink(String),
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its path: relative, `/` between the parts, no `.` or `..` in it.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// What it is.
    pub kind: MemberKind,
}

/// What was learnt from an archive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Archive {
    /// Every member, in the archive's order.
    pub members: Vec<Member>,
    /// The members that were asked for, by path.
    pub texts: BTreeMap<String, Vec<u8>>,
}

impl Archive {
    /// The directory that holds every member, as sdists have one; empty where there is none.
    #[must_use]
    pub fn root(&self) -> &str {
        let first = |member: &Member| member.path.split('/').next().map(str::len).unwrap_or(0);
        let Some(member) = self.members.first() else {
            return "";
        };
        let root = &member.path[..first(member)];
        let inside = self.members.iter().all(|member| {
            let rest = member.path.strip_prefix(root);
            rest.is_some_and(|rest| rest.starts_with('/'))
                || (member.path == root && member.kind == MemberKind::Directory)
        });
        if inside { root } else { "" }
    }

    /// The text of the member at `path` under [`Self::root`], invalid UTF-8 replaced.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        let root = self.root();
        let full = if root.is_empty() {
            path.to_owned()
        } else {
            format!("{root}/{path}")
        };
        self.texts
            .get(&full)
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It ends too early.
    #[error("it is truncated")]
    Truncated,
    /// It is no archive of its kind, or damaged.
    #[error("it is corrupt: {0}")]
    Corrupt(String),
    /// It is larger, deeper or more numerous than allowed.
    #[error("it is refused: {0}")]
    Limit(String),
    /// It has a member that no honest distribution has.
    #[error("it is refused: member '{member}' {reason}")]
    Dangerous {
        /// The member's path, escaped.
        member: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It could not be read from disk.
    #[error("it cannot be read: {0}")]
    Io(std::io::Error),
}

impl ArchiveError {
    fn dangerous(member: &str, reason: &'static str) -> Self {
        Self::Dangerous {
            member: printable(member, 120),
            reason,
        }
    }
}

/// Reads the archive at `path`, of the kind that its name promised. Every member is checked and
/// listed; the texts of the regular files for which `want` says yes are kept.
///
/// # Errors
///
/// [`ArchiveError`]: it is broken, beyond `limits`, or made to do harm.
pub fn read(
    path: &Path,
    kind: DistKind,
    limits: &Limits,
    want: impl Fn(&str) -> bool,
) -> Result<Archive, ArchiveError> {
    let file = File::open(path).map_err(ArchiveError::Io)?;
    let bytes = file.metadata().map_err(ArchiveError::Io)?.len();
    if bytes > limits.file_bytes {
        let limit = limits.file_bytes;
        return Err(ArchiveError::Limit(format!(
            "{bytes} bytes, the limit is {limit}"
        )));
    }
    let archive = match kind {
        DistKind::SdistTarGz => tarball::read(file, bytes, limits, &want)?,
        DistKind::SdistZip | DistKind::Wheel => zipfile::read(file, bytes, limits, &want)?,
    };
    if archive.members.is_empty() {
        return Err(ArchiveError::Corrupt("it has no members".to_owned()));
    }
    paths::check_links(&archive.members)?;
    Ok(archive)
}

/// Counts what an archive has demanded so far against its limits.
struct Meter<'a> {
    limits: &'a Limits,
    members: usize,
    expanded: u64,
    kept: u64,
    compressed: u64,
}

impl<'a> Meter<'a> {
    fn new(limits: &'a Limits, compressed: u64) -> Self {
        Self {
            limits,
            members: 0,
            expanded: 0,
            kept: 0,
            compressed,
        }
    }

    /// Counts one more member of `size` declared bytes.
    fn member(&mut self, path: &str, size: u64) -> Result<(), ArchiveError> {
        self.members += 1;
        if self.members > self.limits.members {
            let limit = self.limits.members;
            return Err(ArchiveError::Limit(format!("more than {limit} members")));
        }
        if size > self.limits.member_bytes {
            let limit = self.limits.member_bytes;
            let path = printable(path, 120);
            return Err(ArchiveError::Limit(format!(
                "'{path}' has more than {limit} bytes"
            )));
        }
        self.expand(size)
    }

    /// Counts bytes of a member that stay in memory.
    fn keep(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        self.kept = self.kept.saturating_add(bytes);
        if self.kept > self.limits.kept_bytes {
            let limit = self.limits.kept_bytes;
            return Err(ArchiveError::Limit(format!(
                "the files that have to be read of it have more than {limit} bytes"
            )));
        }
        Ok(())
    }

    fn expand(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        self.expanded = self.expanded.saturating_add(bytes);
        match over(self.limits, self.expanded, self.compressed) {
            Some(reason) => Err(ArchiveError::Limit(reason)),
            None => Ok(()),
        }
    }
}

/// Says why `expanded` bytes are too many for an archive of `compressed` bytes.
fn over(limits: &Limits, expanded: u64, compressed: u64) -> Option<String> {
    if expanded > limits.expanded_bytes {
        return Some(format!(
            "it expands to more than {} bytes",
            limits.expanded_bytes
        ));
    }
    let allowed = compressed
        .saturating_mul(limits.ratio)
        .max(limits.ratio_from);
    (expanded > allowed)
        .then(|| format!("it expands more than {} times, like a bomb", limits.ratio))
}

/// What the decoders say when something is wrong, in our words.
fn from_io(error: std::io::Error) -> ArchiveError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => ArchiveError::Truncated,
        // Our own readers put their reason into an error of this kind.
        std::io::ErrorKind::QuotaExceeded => ArchiveError::Limit(error.to_string()),
        _ => ArchiveError::Corrupt(printable(&error.to_string(), 200)),
    }
}

#[cfg(test)]
mod tests;
