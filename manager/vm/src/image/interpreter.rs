//! The Python of an image: what whoever runs packages with it must know.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A CPython on x86-64 Linux with glibc.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interpreter {
    /// Its program, absolute path in the guest.
    pub path: String,
    /// Major version.
    pub major: u16,
    /// Minor version.
    pub minor: u16,
    /// Micro version, where it is relied on; else 0.
    pub micro: u16,
    /// Minor version of glibc 2.
    pub glibc_minor: u16,
}

impl Interpreter {
    /// The interpreter at `path`, of version `python` with the C library `glibc`.
    ///
    /// # Errors
    /// One sentence on which of them it cannot be.
    pub fn new(path: &str, python: &str, glibc: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
        if !path.starts_with('/') || !path.chars().all(plain) {
            return Err(format!(
                "`interpreter` is {path:?}: an absolute path is wanted"
            ));
        }
        let numbers = |text: &str| -> Option<Vec<u16>> {
            text.split('.').map(|part| part.parse().ok()).collect()
        };
        let (major, minor, micro) = match numbers(python).as_deref() {
            Some([major, minor]) => (*major, *minor, 0),
            Some([major, minor, micro]) => (*major, *minor, *micro),
            _ => {
                return Err(format!(
                    "`python` is {python:?}: a version such as 3.13 or 3.9.2 is wanted"
                ));
            }
        };
        let glibc_minor = match numbers(glibc).as_deref() {
            Some([2, minor]) => *minor,
            _ => {
                return Err(format!(
                    "`glibc` is {glibc:?}: a version such as 2.41 is wanted"
                ));
            }
        };
        Ok(Self {
            path: path.to_owned(),
            major,
            minor,
            micro,
            glibc_minor,
        })
    }

    /// Whether it is Python 2.
    #[must_use]
    pub fn is_python2(&self) -> bool {
        self.major == 2
    }

    /// Whether its pip tells what it would install (`--dry-run --report`, pip 22.2). Debian's pip is
    /// as old as its Python: 23.0 with 3.11, 20.3 with 3.9.
    #[must_use]
    pub fn pip_reports(&self) -> bool {
        (self.major, self.minor) >= (3, 11)
    }

    /// Where a user's packages are, below the user's home.
    #[must_use]
    pub fn user_site(&self) -> String {
        format!(".local/lib/python{self}/site-packages")
    }
}

/// Major and minor version.
impl fmt::Display for Interpreter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}
