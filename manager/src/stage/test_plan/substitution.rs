//! tox's substitutions (<https://tox.wiki/en/latest/config.html#substitutions>), which hatch has in a
//! like form.

use super::variables::{self, Variables};

/// Values within values.
const DEEPEST: usize = 8;
/// Bytes of a value after substitution.
pub(super) const LONGEST: usize = 64 << 10;
/// What stands for the source's directory in the value of a variable, since tests may leave that
/// directory, and in a command that is run elsewhere.
pub(super) const SOURCE: &str = "{source}";

/// `text` with the substitutions made as seen from the source's directory.
///
/// # Errors
/// One that is not known here.
pub(super) fn substitute(text: &str, name: &str) -> Result<String, String> {
    in_command(text, name, "")
}

/// `text` with the substitutions made as a command has them, which is run in `directory`, relative to
/// the source.
///
/// # Errors
/// One that is not known here.
pub(super) fn in_command(text: &str, name: &str, directory: &str) -> Result<String, String> {
    let place = Place {
        name,
        longest: LONGEST,
        elsewhere: !directory.is_empty(),
        variable: None,
    };
    place.all(text)
}

/// The value of a variable with the substitutions made. `directory` is where the environment's commands
/// run, relative to the source, and `before` are the variables that stand before it.
///
/// # Errors
/// One that is not known here, or not before the tests run.
pub(super) fn value(
    text: &str,
    name: &str,
    directory: &str,
    before: &Variables,
) -> Result<String, String> {
    let place = Place {
        name,
        longest: variables::LONGEST,
        elsewhere: true,
        variable: Some(Variable { directory, before }),
    };
    place.all(text)
}

/// Where a text stands.
struct Place<'a> {
    /// The environment's name.
    name: &'a str,
    /// Bytes that the text may grow to.
    longest: usize,
    /// Whether it is seen from another directory than the source's.
    elsewhere: bool,
    /// What else is known where it is the value of a variable.
    variable: Option<Variable<'a>>,
}

/// See [`value`].
struct Variable<'a> {
    directory: &'a str,
    before: &'a Variables,
}

impl Variable<'_> {
    /// What `{key:rest}` stands for, where that is not the same as in a command.
    fn own(&self, key: &str, rest: &str) -> Result<Option<String>, String> {
        match key {
            "toxinidir" | "tox_root" | "root" if rest.is_empty() => Ok(Some(SOURCE.to_owned())),
            // hatch has forms of it that are no paths.
            "root" => Err(format!("{{{key}:{rest}}}")),
            "changedir" | "change_dir" => Ok(Some(match self.directory {
                "" => SOURCE.to_owned(),
                other if other.starts_with(['/', '{']) => other.to_owned(),
                inside => format!("{SOURCE}/{inside}"),
            })),
            "envpython" | "env_python" | "base_python" | "envbindir" | "env_bin_dir" => {
                Err(format!("{{{key}}}"))
            }
            "env" => {
                let name = rest.split(':').next().unwrap_or_default();
                if variables::is_own(name) {
                    return Err(format!("{{env:{name}}}"));
                }
                Ok(self.before.set.get(name).cloned())
            }
            _ => Ok(None),
        }
    }
}

impl Place<'_> {
    fn all(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        self.put(text, 0, &mut out)?;
        Ok(out)
    }

    fn put(&self, text: &str, depth: usize, out: &mut String) -> Result<(), String> {
        let mut rest = text;
        while let Some((before, braced)) = rest.split_once('{') {
            out.push_str(before);
            let end = closing(braced).ok_or_else(|| "a brace left open".to_owned())?;
            let (inside, after) = (&braced[..end], &braced[end + 1..]);
            rest = after;
            if out.len() > self.longest {
                return Err("its length".to_owned());
            }
            let (key, default) = inside.split_once(':').unwrap_or((inside, ""));
            if let Some(variable) = &self.variable
                && let Some(value) = variable.own(key, default)?
            {
                out.push_str(&value);
                continue;
            }
            let default = match key {
                "posargs" | "args" => default,
                "env" => default.split_once(':').map_or("", |(_, default)| default),
                "envpython" | "env_python" | "base_python" => "python",
                "toxinidir" | "tox_root" | "root" if self.elsewhere => {
                    out.push_str(SOURCE);
                    continue;
                }
                "toxinidir" | "tox_root" | "root" | "changedir" | "change_dir" => ".",
                "envbindir" | "env_bin_dir" => "bin",
                "envname" | "env_name" => self.name,
                "envtmpdir" | "env_tmp_dir" | "envdir" | "env_dir" | "toxworkdir" | "work_dir"
                | "envlogdir" | "env_log_dir" | "temp_dir" => {
                    out.push_str("{work}");
                    continue;
                }
                "/" => "/",
                "" => ":",
                other => return Err(format!("{{{other}}}")),
            };
            if depth >= DEEPEST {
                return Err("its depth".to_owned());
            }
            self.put(default, depth + 1, out)?;
        }
        match self.variable {
            Some(_) => out.push_str(rest),
            // The way of tox 1 to write `{posargs}`.
            None => out.push_str(&rest.replace("[]", "")),
        }
        Ok(())
    }
}

/// Where the brace is closed that was opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_names_places_wherever_tests_go() {
        let mut before = Variables::default();
        before.add("SET", "{work}/x");
        let of = |text: &str| value(text, "py313-a", "t", &before);
        for (text, expected) in [
            ("{toxinidir}{/}src{:}{tox_root}", "{source}/src:{source}"),
            ("{changedir}/x", "{source}/t/x"),
            ("{envtmpdir}/{env_name}", "{work}/py313-a"),
            ("{env:SET:no}", "{work}/x"),
            ("a{env:UNSET}{env:UNSET:b:{envname}}", "ab:py313-a"),
            ("{posargs:c}[]", "c[]"),
        ] {
            assert_eq!(of(text).as_deref(), Ok(expected), "{text}");
        }
        for (text, why) in [
            ("{env:HOME}/x", "{env:HOME}"),
            ("{env:PATH:}", "{env:PATH}"),
            ("{envbindir}/x", "{envbindir}"),
            ("{envsitepackagesdir}", "{envsitepackagesdir}"),
            ("{source}", "{source}"),
            ("{root:uri}", "{root:uri}"),
            ("{", "a brace left open"),
        ] {
            assert_eq!(of(text), Err(why.to_owned()), "{text}");
        }
        let outside = value("{changedir}", "", "/tmp", &before);
        assert_eq!(outside.as_deref(), Ok("/tmp"));
    }

    #[test]
    fn a_command_sees_the_source_from_where_it_runs() {
        let text = "{toxinidir}/a {change_dir}/b {env:X:{tox_root}}";
        for (directory, expected) in [
            ("", "./a ./b ."),
            ("t", "{source}/a ./b {source}"),
            ("{work}", "{source}/a ./b {source}"),
        ] {
            let found = in_command(text, "", directory);
            assert_eq!(found.as_deref(), Ok(expected));
        }
        assert_eq!(substitute(text, "").as_deref(), Ok("./a ./b ."));
    }

    #[test]
    fn a_value_that_grows_is_not_followed() {
        let mut before = Variables::default();
        before.add("A", &"x".repeat(variables::LONGEST));
        let text = "{env:A}".repeat(30_000);
        let grown = value(&text, "", "", &before);
        assert_eq!(grown, Err("its length".to_owned()));
        let deep = format!("{}x{}", "{posargs:".repeat(99), "}".repeat(99));
        assert_eq!(value(&deep, "", "", &before), Err("its depth".to_owned()));
    }
}
