//! Paths that a package names relative to a directory.

/// `path` as seen from `directory`, without a leading `/`; an absolute one as seen from `/`. `None` where
/// it climbs above that.
pub(super) fn join(directory: &str, path: &str) -> Option<String> {
    let directory = if path.starts_with('/') { "" } else { directory };
    let mut parts: Vec<&str> = vec![];
    for part in directory.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn nothing_climbs_above_the_root() {
        for (directory, path, joined) in [
            ("a/b", "c", Some("a/b/c")),
            ("a/b", "../../c/./d", Some("c/d")),
            ("a", "../../c", None),
            ("a", "/b//c", Some("b/c")),
            ("", "../x", None),
            ("a", "", Some("a")),
        ] {
            assert_eq!(
                join(directory, path).as_deref(),
                joined,
                "{directory} {path}"
            );
        }
    }
}
