//! Commands that install something.

use super::command::{DEV, Installs, is_python, synced};

/// What a command installs; `None` where it is none that only does that.
pub(super) fn installs(words: &[String]) -> Option<Installs> {
    let (first, rest) = words.split_first()?;
    let name = first.rsplit('/').next().unwrap_or(first);
    if let Some(asked) = pip_install(name, rest) {
        return Some(Installs {
            asked: asked.to_vec(),
            all_extras: asked.iter().any(|word| word == "--all-extras"),
            ..Installs::default()
        });
    }
    match name {
        _ if rest.iter().any(|word| word == "run") => None,
        "uv" => synced(rest),
        "poetry" | "pdm" => Some(of_groups(rest)),
        _ => None,
    }
}

/// The arguments of `pip install`, by the program and the words after it.
fn pip_install<'w>(name: &str, words: &'w [String]) -> Option<&'w [String]> {
    let words = match (name, words) {
        ("pip", words) => words,
        (name, words) if name.starts_with("pip3") => words,
        ("uv", [pip, words @ ..]) if pip == "pip" => words,
        // Also as `-Im pip`, and after other options.
        (name, words) if is_python(name) && words.first()?.starts_with('-') => {
            let at = words.iter().position(|word| {
                word.starts_with('-') && !word.starts_with("--") && word.ends_with('m')
            })?;
            match words.get(at + 1..)? {
                [module, words @ ..] if module == "pip" => words,
                _ => return None,
            }
        }
        _ => return None,
    };
    let at = words.iter().position(|word| !word.starts_with('-'))?;
    let (command, arguments) = words.get(at..)?.split_first()?;
    (command == "install").then_some(arguments)
}

/// What poetry and PDM are told to install. Where they are told no group alone, those of development are
/// installed too.
fn of_groups(words: &[String]) -> Installs {
    let command = words.iter().find(|word| !word.starts_with('-'));
    let mut installs = Installs {
        more: command.is_some_and(|command| ["install", "sync"].contains(&command.as_str())),
        ..Installs::default()
    };
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let (option, joined) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (word, None),
        };
        let mut value = || joined.or_else(|| words.next()).unwrap_or_default();
        match option {
            "-E" | "--extra" | "--extras" => installs.extras(&value().replace(' ', ",")),
            "-G" | "-dG" | "--group" | "--only" | "--with" => {
                installs.more &= option == "--with";
                let names = value().split([',', ' ']);
                let names = names.filter(|name| !name.is_empty());
                names.for_each(|name| installs.group(name));
            }
            "--without" => {
                let mut names = value().split([',', ' ']);
                installs.more &= !names.any(|name| name == DEV);
            }
            "--no-dev" | "--only-root" | "--prod" | "--production" => installs.more = false,
            "--all-extras" => installs.all_extras = true,
            "--all-groups" => installs.all_groups = true,
            _ => {}
        }
    }
    installs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(command: &str) -> Option<String> {
        let words = shlex::split(command).unwrap();
        Some(installs(&words)?.asked.join("|"))
    }

    #[test]
    fn what_installs_is_told_from_what_runs() {
        for (command, expected) in [
            ("pip install -U a 'b>1'", "-U|a|b>1"),
            ("bin/pip3.12 -q install -r r.txt", "-r|r.txt"),
            ("python -m pip install -e .[x]", "-e|.[x]"),
            ("python3 -Im pip install a", "a"),
            ("python -I -X dev -m pip install a", "a"),
            ("uv pip install --system a", "--system|a"),
            ("uv sync --extra x --group=y", ".[x]|--group|y"),
            ("uv export -o r.txt --no-hashes --only-group y", "--group|y"),
            (
                "poetry install --with a,b -E 'c d' --only=e",
                "--group|a|--group|b|.[c,d]|--group|e",
            ),
            ("pdm install -dG test", "--group|test"),
            ("pdm build", ""),
        ] {
            assert_eq!(asked(command).as_deref(), Some(expected), "{command}");
        }
        for command in [
            "",
            "pip",
            "pip list",
            "pip download install",
            "python -m pytest install",
            "python -m pytest -m pip install",
            "python a.py -m pip install a",
            "python",
            "python pip install",
            "uv run pip install a",
            "uv build",
            "poetry run pytest",
            "pytest",
        ] {
            assert_eq!(asked(command), None, "{command}");
        }
    }

    #[test]
    fn poetry_and_pdm_install_what_development_requires_unless_they_are_told_otherwise() {
        let of = |command: &str| installs(&shlex::split(command).unwrap()).unwrap_or_default();
        for command in [
            "poetry install",
            "poetry -q install -E a --with b --without docs",
            "poetry sync --all-groups",
            "pdm install -d",
        ] {
            assert!(of(command).more, "{command}");
        }
        for command in [
            "poetry install --only=a",
            "poetry install --only-root",
            "poetry install --with a --without docs,dev",
            "poetry export --with a",
            "pdm install --prod",
            "pdm install -dG test",
            "pdm build",
            "uv sync",
            "pip install a",
        ] {
            assert!(!of(command).more, "{command}");
        }
        assert!(of("uv pip install -r pyproject.toml --all-extras").all_extras);
        assert!(!of("pip install a").all_extras);
    }
}
