//! What the user wants audited.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;

use packageurl::PackageUrl;
use pep440_rs::Version;

use crate::error::IndexError;
use crate::name::PackageName;
use crate::text::printable;

/// Something to audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A package on the index.
    Package {
        /// Its name.
        name: PackageName,
        /// Optional features asked for, as in `requests[socks]`.
        extras: BTreeSet<PackageName>,
        /// Its version; the newest stable one where there is none.
        version: Option<Version>,
    },
    /// A source distribution or wheel on this machine.
    File(PathBuf),
    /// A source tree on this machine.
    Directory(PathBuf),
}

impl Target {
    /// Understands `text`: `name`, `name[extra]`, `name==version`, `pkg:pypi/name@version`, or the
    /// path of a file or directory. A path has a `/` in it, or begins with `.`, or ends like a
    /// distribution, whether or not there is such a file: a mistyped one is never asked an index for.
    ///
    /// # Errors
    ///
    /// [`IndexError::BadTarget`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, IndexError> {
        let bad = |reason: String| IndexError::BadTarget {
            target: printable(text, 200),
            reason,
        };
        if text.starts_with("pkg:") {
            return parse_purl(text).map_err(bad);
        }
        if is_url(text) {
            return Err(bad(
                "URLs are not taken: download the file and give its path".to_owned(),
            ));
        }
        if looks_like_path(text) {
            let path = PathBuf::from(text);
            return match std::fs::metadata(&path) {
                Ok(found) if found.is_dir() => Ok(Self::Directory(path)),
                Ok(found) if found.is_file() => Ok(Self::File(path)),
                Ok(_) => Err(bad("neither a file nor a directory".to_owned())),
                Err(error) => Err(bad(error.to_string())),
            };
        }
        parse_package(text).map_err(bad)
    }
}

fn looks_like_path(text: &str) -> bool {
    let endings = [".tar.gz", ".tgz", ".zip", ".whl", ".tar.bz2", ".tar.xz"];
    let lower = text.to_ascii_lowercase();
    text.contains('/')
        || text.starts_with('.')
        || endings.iter().any(|ending| lower.ends_with(ending))
}

/// Whether pip would fetch it: an address, that of a repository, or `name @ address`.
fn is_url(text: &str) -> bool {
    let schemes = ["git+", "hg+", "svn+", "bzr+", "file:", "http:", "https:"];
    let lower = text.trim_start().to_ascii_lowercase();
    lower.contains("://") || schemes.iter().any(|scheme| lower.starts_with(scheme))
}

fn parse_package(text: &str) -> Result<Target, String> {
    let (before, version) = match text.split_once("==") {
        Some((_, version)) if version.starts_with('=') => {
            return Err("'===' is not supported; write name==version".to_owned());
        }
        Some((before, version)) => (before, Some(parse_version(version)?)),
        None => (text, None),
    };
    let (name, extras) = match before.trim().split_once('[') {
        Some((name, extras)) => {
            let list = extras
                .strip_suffix(']')
                .ok_or("the list of extras has no end")?;
            let extras: Result<BTreeSet<PackageName>, _> =
                list.split(',').map(|extra| extra.trim().parse()).collect();
            (
                name,
                extras.map_err(|_| "an extra is not a valid name".to_owned())?,
            )
        }
        None => (before.trim(), BTreeSet::new()),
    };
    let ranges = ['<', '>', '~', '!', '=', ';', '@', ' '];
    if name.contains(ranges) {
        return Err("only one exact version can be audited; write name==version".to_owned());
    }
    let name = name.parse().map_err(|error| format!("{error}"))?;
    Ok(Target::Package {
        name,
        extras,
        version,
    })
}

fn parse_version(text: &str) -> Result<Version, String> {
    let text = text.trim();
    if text.contains('*') {
        return Err("a version with '*' is a range; write one exact version".to_owned());
    }
    Version::from_str(text)
        .map_err(|_| format!("'{}' is not a version (PEP 440)", printable(text, 80)))
}

fn parse_purl(text: &str) -> Result<Target, String> {
    let purl = PackageUrl::from_str(text).map_err(|error| printable(&error.to_string(), 200))?;
    if purl.ty() != "pypi" || purl.namespace().is_some() {
        return Err("only package URLs of the form pkg:pypi/name@version are supported".to_owned());
    }
    // They may name another file than the one that would be audited.
    if purl.qualifiers().contains_key("repository_url") {
        return Err(
            "the index that repository_url names is not asked; leave it away and name the index by \
             --index-url"
                .to_owned(),
        );
    }
    if !purl.qualifiers().is_empty() || purl.subpath().is_some() {
        return Err(
            "only package URLs of the form pkg:pypi/name@version are supported; leave away what \
             comes after '?' or '#'"
                .to_owned(),
        );
    }
    let name = purl.name().parse().map_err(|error| format!("{error}"))?;
    let version = purl.version().map(parse_version).transpose()?;
    Ok(Target::Package {
        name,
        extras: BTreeSet::new(),
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, extras: &[&str], version: Option<&str>) -> Target {
        Target::Package {
            name: name.parse().unwrap(),
            extras: extras.iter().map(|extra| extra.parse().unwrap()).collect(),
            version: version.map(|version| version.parse().unwrap()),
        }
    }

    #[test]
    fn packages_are_understood() {
        assert_eq!(
            Target::parse("Flask_Login").unwrap(),
            package("flask-login", &[], None)
        );
        assert_eq!(
            Target::parse("a==1.0-rc1").unwrap(),
            package("a", &[], Some("1.0rc1"))
        );
        assert_eq!(
            Target::parse("a[x, Y_z]==2").unwrap(),
            package("a", &["x", "y-z"], Some("2"))
        );
        assert_eq!(
            Target::parse("pkg:pypi/a@1.2").unwrap(),
            package("a", &[], Some("1.2"))
        );
        assert_eq!(
            Target::parse("pkg:pypi/a").unwrap(),
            package("a", &[], None)
        );
    }

    #[test]
    fn paths_are_understood() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("a-1.0.tar.gz");
        std::fs::write(&file, "").unwrap();
        assert_eq!(
            Target::parse(file.to_str().unwrap()).unwrap(),
            Target::File(file)
        );
        let directory = home.path().to_str().unwrap();
        assert_eq!(
            Target::parse(directory).unwrap(),
            Target::Directory(directory.into())
        );
    }

    #[test]
    fn nonsense_gets_one_clear_sentence() {
        for (text, part) in [
            ("", "made of ASCII letters"),
            ("a>=1", "only one exact version"),
            ("a==1.*", "write one exact version"),
            ("a===1", "'==='"),
            ("a==spam", "is not a version"),
            ("a[x", "no end"),
            ("./missing-1.0.tar.gz", "No such file"),
            // Its ending tells that it is a file: no index is asked for a private name.
            ("missing-1.0.tar.gz", "No such file"),
            ("Missing-1.0-py3-none-any.WHL", "No such file"),
            ("https://example.org/a-1.0.tar.gz", "URLs are not taken"),
            ("git+https://example.org/a", "URLs are not taken"),
            ("git+ssh:a", "URLs are not taken"),
            ("a @ https://example.org/a-1.0.tar.gz", "URLs are not taken"),
            ("pkg:npm/a@1", "pkg:pypi/name@version"),
            (
                "pkg:pypi/corp-lib@1.2?repository_url=https://corp/simple",
                "leave it away and name the index by --index-url",
            ),
            (
                "pkg:pypi/a?Repository_URL=corp&file_name=a-1.tar.gz#a/b",
                "leave it away and name the index by --index-url",
            ),
            ("pkg:pypi/a@1?file_name=a-1.tar.gz", "after '?' or '#'"),
            ("pkg:pypi/a@1#src/a", "after '?' or '#'"),
            ("pkg:pypi/a@1?x=\x1b[2J", "after '?' or '#'"),
            ("a\x1b[2J", "no end"),
        ] {
            let message = Target::parse(text)
                .map_err(|error| error.to_string())
                .unwrap_err();
            assert!(message.contains(part), "{text:?}: {message}");
            assert!(!message.contains('\x1b'), "{message:?}");
        }
    }
}
