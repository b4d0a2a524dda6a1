//! The definition file of an image.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Interpreter;
use crate::{VmError, home};

/// The definitions that are built in: where they are in the sources, and their text. The first is
/// the usual one.
const BUILTIN: [(&str, &str); 4] = [
    (
        "images/trixie.toml",
        include_str!("../../images/trixie.toml"),
    ),
    (
        "images/bookworm.toml",
        include_str!("../../images/bookworm.toml"),
    ),
    (
        "images/bullseye.toml",
        include_str!("../../images/bullseye.toml"),
    ),
    (
        "images/bullseye-python2.toml",
        include_str!("../../images/bullseye-python2.toml"),
    ),
];

/// What an image is made of. Read from TOML; those in `images/` are built in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Name of the image: lower-case letters, digits and dashes.
    pub name: String,
    /// Debian suite.
    pub suite: String,
    /// Package mirror.
    pub mirror: String,
    /// The Python interpreter inside, absolute path.
    pub interpreter: String,
    /// Its version, as exactly as is to be relied on: `3.13` or `3.9.2`. The build checks it. It says
    /// what the root file system has and does not shape it, so that it is no part of the key.
    #[serde(default, skip_serializing)]
    pub python: String,
    /// The C library's version, such as `2.41`; as `python`, a statement that the build checks.
    #[serde(default, skip_serializing)]
    pub glibc: String,
    /// Package of the kernel, or one that depends on it.
    pub kernel: String,
    /// The suite that the kernel is from, where it is another one than the image's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_suite: Option<String>,
    /// Distributions that are installed for the interpreter from the wheels of the package
    /// `python-pip-whl`, where the suite has no packages of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bundled: Vec<String>,
    /// Kernel modules the guest loads; what they depend on is found by itself.
    pub modules: Vec<String>,
    /// Packages of the root file system.
    pub packages: Vec<String>,
}

impl Definition {
    /// The definitions that are built in, the usual one first.
    ///
    /// # Errors
    /// None in a program that passed its tests.
    pub fn builtin() -> Result<Vec<Self>, VmError> {
        BUILTIN
            .into_iter()
            .map(|(origin, text)| Self::parse(text, origin))
            .collect()
    }

    /// The interpreter that packages are run with.
    ///
    /// # Errors
    /// Versions that are none, which a definition that was read does not have.
    pub fn interpreter(&self) -> Result<Interpreter, VmError> {
        Interpreter::new(&self.interpreter, &self.python, &self.glibc).map_err(|reason| {
            VmError::Definition {
                origin: self.name.clone(),
                reason,
            }
        })
    }

    /// Reads a definition file.
    ///
    /// # Errors
    /// A file that cannot be read, unknown keys, or values that could not be meant.
    pub fn load(path: &Path) -> Result<Self, VmError> {
        let origin = path.display().to_string();
        let text = String::from_utf8(home::read(path)?).map_err(|error| VmError::Definition {
            origin: origin.clone(),
            reason: error.to_string(),
        })?;
        Self::parse(&text, &origin)
    }

    fn parse(text: &str, origin: &str) -> Result<Self, VmError> {
        let wrong = |reason: String| VmError::Definition {
            origin: origin.to_owned(),
            reason,
        };
        let definition: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        // These words go to mmdebstrap and, in part, through its hooks to a shell.
        let words = [
            ("name", &definition.name),
            ("suite", &definition.suite),
            ("kernel", &definition.kernel),
        ];
        let packages = definition
            .packages
            .iter()
            .map(|package| ("packages", package));
        let modules = definition.modules.iter().map(|module| ("modules", module));
        let bundled = definition.bundled.iter().map(|name| ("bundled", name));
        let kernel_suite = definition.kernel_suite.iter();
        let kernel_suite = kernel_suite.map(|suite| ("kernel_suite", suite));
        let words = words.into_iter().chain(packages).chain(modules);
        for (key, word) in words.chain(bundled).chain(kernel_suite) {
            if !is_word(word) {
                return Err(wrong(format!(
                    "`{key}` has {word:?}: only letters, digits and +-._ are allowed"
                )));
            }
        }
        if !definition.mirror.starts_with("http") || definition.mirror.contains(char::is_whitespace)
        {
            return Err(wrong(format!(
                "`mirror` is {:?}: a URL is wanted",
                definition.mirror
            )));
        }
        Interpreter::new(
            &definition.interpreter,
            &definition.python,
            &definition.glibc,
        )
        .map_err(wrong)?;
        Ok(definition)
    }

    /// The same text for the same meaning, to be hashed.
    pub(crate) fn canonical(&self) -> Result<Vec<u8>, VmError> {
        let mut sorted = self.clone();
        sorted.packages.sort();
        serde_json::to_vec(&sorted).map_err(|error| VmError::Definition {
            origin: self.name.clone(),
            reason: error.to_string(),
        })
    }
}

fn is_word(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_definitions_are_sound() {
        let all = Definition::builtin().unwrap();
        let known: Vec<(&str, String)> = all
            .iter()
            .map(|image| (&*image.name, image.interpreter().unwrap().to_string()))
            .collect();
        let expected = [
            ("trixie", "3.13"),
            ("bookworm", "3.11"),
            ("bullseye", "3.9"),
            ("bullseye-python2", "2.7"),
        ]
        .map(|(name, python)| (name, python.to_owned()));
        assert_eq!(known, expected);
        for image in &all {
            let kernel = image.kernel_suite.as_ref().unwrap_or(&image.suite);
            assert_eq!(
                kernel, "trixie",
                "{}: the probes know its kernel",
                image.name
            );
            assert_eq!(image.kernel, all[0].kernel);
            assert_eq!(image.modules, all[0].modules);
        }
    }

    #[test]
    fn what_is_only_stated_is_no_part_of_the_key() {
        // The text that the key was made of before there were other images.
        let text = String::from_utf8(Definition::builtin().unwrap()[0].canonical().unwrap());
        let text = text.unwrap();
        assert!(
            text.starts_with(
                r#"{"name":"trixie","suite":"trixie","mirror":"http://deb.debian.org/debian","interpreter":"/usr/bin/python3","kernel":"linux-image-cloud-amd64","modules":["virtio_mmio","virtio_blk","erofs","overlay"],"packages":["ca-certificates","cron","#
            ),
            "{text}"
        );
    }

    #[test]
    fn what_a_shell_would_take_apart_is_refused() {
        let trixie = BUILTIN[0].1;
        for (from, to, part) in [
            ("\"strace\"", "\"strace; id\"", "strace; id"),
            ("suite =", "siute =", "siute"),
            ("suite =", "bundled = [\"$(id)\"]\nsuite =", "$(id)"),
            ("suite =", "kernel_suite = \"a b\"\nsuite =", "a b"),
            ("python = \"3.13\"", "python = \"3\"", "`python`"),
            ("python = \"3.13\"", "python = \"3.13;id\"", "`python`"),
            ("python = \"3.13\"\n", "", "`python`"),
            ("glibc = \"2.41\"", "glibc = \"3.1\"", "`glibc`"),
            ("\"/usr/bin/python3\"", "\"python3\"", "`interpreter`"),
            (
                "\"/usr/bin/python3\"",
                "\"/usr/bin/python3 x\"",
                "`interpreter`",
            ),
        ] {
            let text = trixie.replace(from, to);
            assert_ne!(text, trixie, "{from}");
            let error = Definition::parse(&text, "x.toml").unwrap_err().to_string();
            assert!(error.contains(part), "{to}: {error}");
        }
    }
}
