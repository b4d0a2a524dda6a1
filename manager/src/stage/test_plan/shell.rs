//! Lines of a shell, as far as it is plain what they run one after the other.

/// The commands of a text, word by word, of which each is run where those before it succeeded; `None`
/// where its quotes or a change of the directory are not understood. What is run only where a command fails,
/// and what reads its output, is left out.
pub(super) fn commands(text: &str) -> Option<Vec<Vec<String>>> {
    let text = text.replace("\\\n", " ");
    let mut found: Vec<Vec<String>> = vec![];
    for line in text.lines().map(str::trim) {
        let mut command: Vec<String> = vec![];
        let mut is_run = true;
        for word in shlex::split(line)? {
            let (said, operator) = match word.strip_suffix(';') {
                Some(said) => (said, ";"),
                None if ["&&", "&", "||", "|"].contains(&word.as_str()) => ("", word.as_str()),
                None => (word.as_str(), ""),
            };
            if is_run && !said.is_empty() {
                command.push(said.to_owned());
            }
            if !operator.is_empty() {
                found.push(std::mem::take(&mut command));
                is_run = !operator.starts_with('|');
            }
        }
        found.push(command);
    }
    found.retain(|command| !command.is_empty());
    let moves = |command: &Vec<String>| {
        let first = command.first().map(String::as_str);
        matches!(first, Some("cd" | "pushd"))
    };
    (!found.iter().any(moves)).then_some(found)
}

/// Words as a shell is given them; none where one of them cannot be.
pub(super) fn quoted(words: &[String]) -> String {
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_follow_each_other() {
        for (text, expected) in [
            ("pytest 'a b' && nose2 -v", "pytest,a b|nose2,-v"),
            (
                "A=b pytest; coverage report ; nose2",
                "A=b,pytest|coverage,report|nose2",
            ),
            ("a || b && c | d ; e & f", "a|c|e|f"),
            ("a \\\n  b\n# no\n\nc  # why\n", "a,b|c"),
            ("", ""),
        ] {
            let found = commands(text).unwrap();
            let found: Vec<String> = found.iter().map(|command| command.join(",")).collect();
            assert_eq!(found.join("|"), expected, "{text}");
        }
        for text in ["pytest 'a", "cd a && pytest", "pytest; pushd a"] {
            assert_eq!(commands(text), None, "{text}");
        }
    }
}
