//! Which member paths and links are harmless.

use std::collections::HashSet;

use super::{ArchiveError, Limits, Member, MemberKind};

/// The normal form of a member's path, or why it is refused. `Ok("")` is the root itself.
pub(super) fn clean(raw: &str, limits: &Limits) -> Result<String, ArchiveError> {
    let refuse = |reason| Err(ArchiveError::dangerous(raw, reason));
    if raw.len() > limits.path_bytes {
        return refuse("has a path longer than the limit");
    }
    if raw.contains('\0') {
        return refuse("has a NUL in its path");
    }
    if raw.starts_with(['/', '\\']) || raw.as_bytes().get(1) == Some(&b':') {
        return refuse("has an absolute path");
    }
    if raw.split(['/', '\\']).any(|part| part == "..") {
        return refuse("leads out of the archive by '..'");
    }
    let parts: Vec<&str> = raw
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.len() > limits.depth {
        return refuse("lies deeper than the limit");
    }
    Ok(parts.join("/"))
}

/// Refuses links that lead out of the archive, and members placed beyond a link.
pub(super) fn check_links(members: &[Member]) -> Result<(), ArchiveError> {
    let symlinks: HashSet<&str> = members
        .iter()
        .filter(|member| matches!(member.kind, MemberKind::Symlink(_)))
        .map(|member| member.path.as_str())
        .collect();
    for member in members {
        let refuse = |reason| Err(ArchiveError::dangerous(&member.path, reason));
        if !symlinks.is_empty() && parents(&member.path).any(|parent| symlinks.contains(parent)) {
            return refuse("lies beyond a symbolic link");
        }
        let (from, target) = match &member.kind {
            MemberKind::Symlink(target) => (member.path.as_str(), target),
            // A hard link's target counts from the archive's root.
            MemberKind::Hardlink(target) => ("", target),
            MemberKind::File | MemberKind::Directory => continue,
        };
        if !stays_inside(from, target, &symlinks) {
            return refuse("is a link that leads out of the archive");
        }
    }
    Ok(())
}

fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

fn stays_inside(from: &str, target: &str, symlinks: &HashSet<&str>) -> bool {
    if target.is_empty() || target.starts_with(['/', '\\']) || target.contains('\0') {
        return false;
    }
    let mut at: Vec<&str> = from.split('/').collect();
    at.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            // `..` after a link counts from the link's target, which plain text cannot follow.
            ".." if symlinks.contains(at.join("/").as_str()) => return false,
            ".." => {
                if at.pop().is_none() {
                    return false;
                }
            }
            part => at.push(part),
        }
    }
    true
}
