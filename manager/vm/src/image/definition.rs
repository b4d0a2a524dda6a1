//! The definition file of an image.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{VmError, home};

/// What an image is made of. Read from TOML; `images/trixie.toml` is the one that is built in.
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
    /// Package of the kernel, or one that depends on it.
    pub kernel: String,
    /// Kernel modules the guest loads; what they depend on is found by itself.
    pub modules: Vec<String>,
    /// Packages of the root file system.
    pub packages: Vec<String>,
}

impl Definition {
    /// The definition that is built in.
    ///
    /// # Errors
    /// None in a program that passed its tests.
    pub fn builtin() -> Result<Self, VmError> {
        Self::parse(
            include_str!("../../images/trixie.toml"),
            "images/trixie.toml",
        )
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
        for (key, word) in words.into_iter().chain(packages).chain(modules) {
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
        if !definition.interpreter.starts_with('/') {
            return Err(wrong(format!(
                "`interpreter` is {:?}: an absolute path is wanted",
                definition.interpreter
            )));
        }
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
    fn the_builtin_definition_is_sound() {
        let definition = Definition::builtin().unwrap();
        assert_eq!(definition.name, "trixie");
        assert!(
            definition
                .packages
                .iter()
                .any(|package| package == "python3-dev")
        );
    }

    #[test]
    fn what_a_shell_would_take_apart_is_refused() {
        let text = include_str!("../../images/trixie.toml").replace("\"strace\"", "\"strace; id\"");
        let error = Definition::parse(&text, "x.toml").unwrap_err().to_string();
        assert!(error.contains("strace; id"), "{error}");
        let text = include_str!("../../images/trixie.toml").replace("suite", "siute");
        assert!(
            Definition::parse(&text, "x.toml")
                .unwrap_err()
                .to_string()
                .contains("siute")
        );
    }
}
