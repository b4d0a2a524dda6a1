//! Commands that install something.

use super::command::{Installs, is_python, synced};

/// What a command installs; `None` where it is none that only does that.
pub(super) fn installs(words: &[String]) -> Option<Installs> {
    let (first, rest) = words.split_first()?;
    let name = first.rsplit('/').next().unwrap_or(first);
    if let Some(asked) = pip_install(name, rest) {
        return Some(Installs {
            asked: asked.to_vec(),
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
        // Also as `-Im pip`.
        (name, [option, module, words @ ..])
            if is_python(name)
                && option.starts_with('-')
                && option.ends_with('m')
                && module == "pip" =>
        {
            words
        }
        _ => return None,
    };
    let at = words.iter().position(|word| !word.starts_with('-'))?;
    let (command, arguments) = words.get(at..)?.split_first()?;
    (command == "install").then_some(arguments)
}

/// What poetry and PDM are told to install.
fn of_groups(words: &[String]) -> Installs {
    let mut installs = Installs::default();
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
                let names = value().split([',', ' ']);
                let names = names.filter(|name| !name.is_empty());
                names.for_each(|name| installs.group(name));
            }
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
            "python pip install",
            "uv run pip install a",
            "uv build",
            "poetry run pytest",
            "pytest",
        ] {
            assert_eq!(asked(command), None, "{command}");
        }
    }
}
