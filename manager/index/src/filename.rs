//! What the name of a distribution file says: package, version, kind, and where a wheel fits.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use pep440_rs::Version;
use serde::{Deserialize, Serialize};

use crate::name::PackageName;

/// The longest file name Linux allows.
pub(crate) const LONGEST: usize = 255;

/// The kind of a distribution file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DistKind {
    /// Source, as `.tar.gz`.
    SdistTarGz,
    /// Source, as `.zip`.
    SdistZip,
    /// Built, as `.whl` (PEP 427).
    Wheel,
}

impl DistKind {
    /// Whether it is source.
    #[must_use]
    pub fn is_sdist(self) -> bool {
        self != Self::Wheel
    }
}

/// A distribution's file name, parsed and safe to be used as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistFilename {
    raw: String,
    name: PackageName,
    version: Version,
    kind: DistKind,
}

impl DistFilename {
    /// Parses `raw`. Old source distributions hold `-` in their name or version: `expected` is the
    /// package they belong to, where that is known.
    ///
    /// # Errors
    ///
    /// One phrase that says why it is no file name of a distribution.
    pub fn parse(raw: &str, expected: Option<&PackageName>) -> Result<Self, &'static str> {
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+!".contains(&byte);
        if raw.len() > LONGEST || !raw.bytes().all(safe) || raw.starts_with(['.', '-']) {
            return Err("its name is too long or has characters that no distribution has");
        }
        let lower = raw.to_ascii_lowercase();
        let (stem, kind) = if let Some(stem) = lower.strip_suffix(".whl") {
            (stem, DistKind::Wheel)
        } else if let Some(stem) = lower.strip_suffix(".tar.gz").or(lower.strip_suffix(".tgz")) {
            (stem, DistKind::SdistTarGz)
        } else if let Some(stem) = lower.strip_suffix(".zip") {
            (stem, DistKind::SdistZip)
        } else {
            return Err("its name ends in none of .whl, .tar.gz, .tgz and .zip");
        };
        let (name, version) = if kind == DistKind::Wheel {
            wheel_stem(stem)
        } else {
            sdist_stem(stem, expected)
        }
        .ok_or("its name is not made of a package name and a version")?;
        if expected.is_some_and(|expected| *expected != name) {
            return Err("it belongs to another package");
        }
        Ok(Self {
            raw: raw.to_owned(),
            name,
            version,
            kind,
        })
    }

    /// The file name itself: ASCII letters, digits and `._-+!` only.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// The package.
    #[must_use]
    pub fn name(&self) -> &PackageName {
        &self.name
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Sdist or wheel.
    #[must_use]
    pub fn kind(&self) -> DistKind {
        self.kind
    }
}

fn wheel_stem(stem: &str) -> Option<(PackageName, Version)> {
    let parts: Vec<&str> = stem.split('-').collect();
    if !matches!(parts.len(), 5 | 6) {
        return None;
    }
    let version = parts[1].replace('_', "-");
    Some((parts[0].parse().ok()?, Version::from_str(&version).ok()?))
}

fn sdist_stem(stem: &str, expected: Option<&PackageName>) -> Option<(PackageName, Version)> {
    let split = |at: usize| {
        let name: PackageName = stem.get(..at)?.parse().ok()?;
        let version = Version::from_str(stem.get(at + 1..)?).ok()?;
        expected
            .is_none_or(|expected| *expected == name)
            .then_some((name, version))
    };
    // The last `-` that leaves a version behind it: `a-1.0-1` is version 1.0-1 of a only where
    // the package is known to be a.
    let mut dashes: Vec<usize> = stem.match_indices('-').map(|(at, _)| at).collect();
    if expected.is_none() {
        dashes.reverse();
    }
    dashes.into_iter().find_map(split)
}

/// Where wheels are to run: CPython on x86-64 Linux with glibc 2.`glibc_minor`. Of Python 2 it is 2.7
/// with wide Unicode, as Linux has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PythonPlatform {
    /// Major version of CPython.
    pub major: u16,
    /// Minor version of CPython.
    pub minor: u16,
    /// Micro version of CPython; 0 where it is not known.
    pub micro: u16,
    /// Minor version of glibc 2.
    pub glibc_minor: u16,
}

impl Default for PythonPlatform {
    /// Debian trixie.
    fn default() -> Self {
        Self {
            major: 3,
            minor: 13,
            micro: 0,
            glibc_minor: 41,
        }
    }
}

/// How well a wheel fits; the greatest is the best. Compared field by field, in this order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fit {
    abi: u8,
    python: Reverse<u16>,
    glibc: u16,
    build: u64,
}

/// The version of Python, as far as it is known.
impl fmt::Display for PythonPlatform {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)?;
        match self.micro {
            0 => Ok(()),
            micro => write!(out, ".{micro}"),
        }
    }
}

impl PythonPlatform {
    /// The version of Python.
    pub(crate) fn version(&self) -> Version {
        Version::new([self.major, self.minor, self.micro].map(u64::from))
    }

    /// How well the wheel called `file` fits, or `None` where it does not run.
    pub(crate) fn fit(&self, file: &DistFilename) -> Option<Fit> {
        let lower = file.raw.to_ascii_lowercase();
        let stem = lower.strip_suffix(".whl")?;
        let parts: Vec<&str> = stem.split('-').collect();
        let [.., pythons, abis, platforms] = parts.as_slice() else {
            return None;
        };
        let build = match parts.as_slice() {
            [_, _, build, _, _, _] => {
                let digits: String = build.chars().take_while(char::is_ascii_digit).collect();
                digits.parse().unwrap_or(0)
            }
            _ => 0,
        };
        let glibc = platforms
            .split('.')
            .filter_map(|tag| self.platform(tag))
            .max()?;
        let (abi, python) = pythons
            .split('.')
            .flat_map(|python| abis.split('.').map(move |abi| (python, abi)))
            .filter_map(|(python, abi)| self.interpreter(python, abi))
            .max()?;
        Some(Fit {
            abi,
            python,
            glibc,
            build,
        })
    }

    fn interpreter(&self, python: &str, abi: &str) -> Option<(u8, Reverse<u16>)> {
        let Self { major, minor, .. } = self;
        let own = format!("cp{major}{minor}");
        let (kind, version) = (python.get(..2)?, python.get(2..)?);
        let least = match version.strip_prefix(&major.to_string())? {
            "" => 0,
            digits => digits.parse().ok()?,
        };
        let age = Reverse(minor.checked_sub(least)?);
        // Flags of the ABI, which later versions do without: pymalloc, wide Unicode.
        let flags = match (major, minor) {
            (2, _) => "mu",
            (3, ..=7) => "m",
            _ => "",
        };
        match (kind, abi) {
            ("cp", abi) if python == own && abi == format!("{own}{flags}") => Some((4, age)),
            ("cp", "abi3") if *major == 3 && least >= 2 => Some((3, age)),
            ("cp", "none") if least == *minor || version.len() == 1 => Some((2, age)),
            ("py", "none") => Some((1, age)),
            _ => None,
        }
    }

    /// Ranks the platform tag: `any` is 0, `linux` 1, manylinux by its glibc.
    fn platform(&self, tag: &str) -> Option<u16> {
        if tag == "any" {
            return Some(0);
        }
        let tag = tag.strip_suffix("_x86_64")?;
        let glibc = match tag {
            "linux" => return Some(1),
            "manylinux1" => 5,
            "manylinux2010" => 12,
            "manylinux2014" => 17,
            _ => tag.strip_prefix("manylinux_2_")?.parse().ok()?,
        };
        (glibc <= self.glibc_minor).then_some(glibc.saturating_add(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &str, expected: Option<&str>) -> Option<(String, String)> {
        let expected = expected.map(|name| name.parse().unwrap());
        let file = DistFilename::parse(raw, expected.as_ref()).ok()?;
        Some((file.name().to_string(), file.version().to_string()))
    }

    fn pair(name: &str, version: &str) -> Option<(String, String)> {
        Some((name.to_owned(), version.to_owned()))
    }

    #[test]
    fn file_names_are_taken_apart() {
        assert_eq!(
            parse("simplejson-3.19.3.tar.gz", None),
            pair("simplejson", "3.19.3")
        );
        assert_eq!(
            parse("Flask-Login-0.1.1.tar.gz", None),
            pair("flask-login", "0.1.1")
        );
        assert_eq!(parse("foo-1.0-rc1.zip", Some("foo")), pair("foo", "1.0rc1"));
        assert_eq!(
            parse("a_b-1.0+local.1-2-py3-none-any.whl", None),
            pair("a-b", "1.0+local.1")
        );
    }

    #[test]
    fn hostile_names_are_refused() {
        for raw in [
            "../a-1.0.tar.gz",
            "a/b-1.0.tar.gz",
            "a-1.0.tar.gz\n",
            ".a-1.0.tar.gz",
            "-a-1.0.tar.gz",
            "a-1.0.exe",
            "a.whl",
            "a-1.0-py3.whl",
        ] {
            assert_eq!(parse(raw, None), None, "{raw:?}");
        }
        assert_eq!(parse("b-1.0.tar.gz", Some("a")), None);
    }

    #[test]
    fn the_best_wheel_wins() {
        let best_first = [
            "a-1-cp313-cp313-manylinux_2_28_x86_64.whl",
            "a-1-cp313-cp313-manylinux2014_x86_64.whl",
            "a-1-cp39-abi3-manylinux1_x86_64.manylinux_2_5_x86_64.whl",
            "a-1-2-py3-none-any.whl",
            "a-1-py2.py3-none-any.whl",
        ];
        let fits: Vec<Fit> = best_first
            .iter()
            .map(|raw| PythonPlatform::default().fit(&DistFilename::parse(raw, None).unwrap()))
            .map(Option::unwrap)
            .collect();
        assert!(fits.is_sorted_by(|a, b| a > b), "{fits:?}");
        for raw in [
            "a-1-cp312-cp312-manylinux2014_x86_64.whl",
            "a-1-cp313-cp313t-manylinux2014_x86_64.whl",
            "a-1-cp313-cp313-win_amd64.whl",
            "a-1-cp313-cp313-manylinux_2_99_x86_64.whl",
            "a-1-cp313-cp313-musllinux_1_2_x86_64.whl",
            "a-1-cp314-abi3-manylinux2014_x86_64.whl",
            "a-1-py2-none-any.whl",
        ] {
            let file = DistFilename::parse(raw, None).unwrap();
            assert_eq!(PythonPlatform::default().fit(&file), None, "{raw}");
        }
    }

    #[test]
    fn python_2_takes_its_own_wheels() {
        let python2 = PythonPlatform {
            major: 2,
            minor: 7,
            micro: 18,
            glibc_minor: 31,
        };
        assert_eq!(python2.to_string(), "2.7.18");
        let fit = |raw: &str| python2.fit(&DistFilename::parse(raw, None).unwrap());
        let best_first = [
            "a-1-cp27-cp27mu-manylinux_2_5_x86_64.manylinux1_x86_64.whl",
            "a-1-cp27-none-any.whl",
            "a-1-py27-none-any.whl",
            "a-1-py2.py3-none-any.whl",
        ];
        let fits: Vec<Option<Fit>> = best_first.iter().map(|raw| fit(raw)).collect();
        assert!(fits.iter().all(Option::is_some), "{fits:?}");
        assert!(fits.is_sorted_by(|a, b| a > b), "{fits:?}");
        for raw in [
            "a-1-cp27-cp27m-manylinux1_x86_64.whl",
            "a-1-cp313-cp313-manylinux2014_x86_64.whl",
            "a-1-cp39-abi3-manylinux1_x86_64.whl",
            "a-1-py3-none-any.whl",
            "a-1-cp27-cp27mu-manylinux_2_34_x86_64.whl",
        ] {
            assert_eq!(fit(raw), None, "{raw}");
        }
    }
}
