//! Where settings are looked for: in variables, and in pip's configuration files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::IndexError;
use crate::pip_conf;

/// The environment and the files.
pub(crate) struct Settings<'a> {
    pub environment: &'a dyn Fn(&str) -> Option<OsString>,
    /// Pip's configuration files of the system are below it.
    pub root: &'a Path,
}

impl Settings<'_> {
    /// What a variable says, and its name; `None` where it is unset or blank.
    pub(crate) fn variable(&self, name: &str) -> Result<Option<(String, String)>, IndexError> {
        let Some(value) = (self.environment)(name) else {
            return Ok(None);
        };
        let value = value
            .into_string()
            .map_err(|_| bad(name, "its value is not UTF-8; correct or unset it"))?;
        Ok((!value.trim().is_empty()).then(|| (value, name.to_owned())))
    }

    /// What the first of these variables says that is set, and its name.
    pub(crate) fn variables(&self, names: &[&str]) -> Result<Option<(String, String)>, IndexError> {
        for name in names {
            if let Some(found) = self.variable(name)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What pip's configuration files say of `key`, and which of them says it.
    pub(crate) fn option(&self, key: &str) -> Result<Option<(String, String)>, IndexError> {
        let found = pip_conf::setting(key, self.environment, self.root)?;
        Ok(found.map(|(value, file)| (value, format!("{key} in {file}"))))
    }

    /// What the first of these variables says that is set, else what pip's configuration files say of
    /// `key`; and where that was said.
    pub(crate) fn first(
        &self,
        variables: &[&str],
        key: &str,
    ) -> Result<Option<(String, String)>, IndexError> {
        match self.variables(variables)? {
            None => self.option(key),
            found => Ok(found),
        }
    }

    /// The path that a variable holds, which need not be text, and the variable's name.
    pub(crate) fn path(&self, name: &str) -> Option<(PathBuf, String)> {
        let value = (self.environment)(name)?;
        let blank = value.to_string_lossy().trim().is_empty();
        (!blank).then(|| (self.at_home(value.into()), name.to_owned()))
    }

    /// `path`, where a `~` in front stands for the home.
    pub(crate) fn at_home(&self, path: PathBuf) -> PathBuf {
        let home = (self.environment)("HOME");
        if let (Some(home), Ok(below)) = (home, path.strip_prefix("~")) {
            return Path::new(&home).join(below);
        }
        path
    }
}

/// The error of a setting that cannot be used.
pub(crate) fn bad(setting: &str, reason: &str) -> IndexError {
    IndexError::BadSetting {
        setting: setting.to_owned(),
        reason: reason.to_owned(),
    }
}
