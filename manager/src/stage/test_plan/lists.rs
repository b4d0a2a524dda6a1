//! What `pip install` is told: its arguments, and the lists that they name
//! (<https://pip.pypa.io/en/stable/reference/requirements-file-format/>), followed within the source
//! distribution only.

use std::collections::BTreeSet;

use super::super::relative::join;
use super::files::Files;

/// Lists within lists.
const DEEPEST: usize = 8;
/// How deep a list is that is asked for itself.
const NAMED: usize = 1;
/// Requirements of one package's tests.
const MOST: usize = 500;
/// Sentences on what is not followed.
const MOST_SKIPPED: usize = 100;
/// Longest requirement, characters.
const LONGEST: usize = 1000;

/// What uv takes for lists too: what the package itself requires, which is there with it.
const PROJECT: [&str; 3] = ["pyproject.toml", "setup.cfg", "setup.py"];

/// Other options that a value follows, of pip and of `uv pip`.
const VALUES: [&str; 42] = [
    "-C",
    "-f",
    "-i",
    "-p",
    "-t",
    "--abi",
    "--build-constraint",
    "--build-constraints",
    "--cache-dir",
    "--cert",
    "--config-setting",
    "--config-settings",
    "--default-index",
    "--exclude-newer",
    "--extra-index-url",
    "--find-links",
    "--hash",
    "--implementation",
    "--index",
    "--index-strategy",
    "--index-url",
    "--keyring-provider",
    "--log",
    "--no-binary",
    "--only-binary",
    "--override",
    "--overrides",
    "--platform",
    "--prefix",
    "--prerelease",
    "--progress-bar",
    "--proxy",
    "--python",
    "--python-platform",
    "--python-version",
    "--resolution",
    "--retries",
    "--root",
    "--target",
    "--timeout",
    "--trusted-host",
    "--upgrade-strategy",
];

/// What lists and arguments ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Requirements, as they are written.
    pub requirements: Vec<String>,
    /// Limits on what is required by something else.
    pub constraints: Vec<String>,
    /// Optional features of the package itself.
    pub extras: Vec<String>,
    /// Dependency groups.
    pub groups: Vec<String>,
    /// What is not followed, one sentence each.
    pub skipped: Vec<String>,
    /// Whether a list of requirements that was asked for itself could not be read.
    pub unread: bool,
    /// How much more is left out: there is too much of it, or it is too long.
    pub left_out: usize,
}

/// Reads arguments and lists of one package.
pub(super) struct Reader<'a> {
    files: &'a Files,
    /// What was asked for so far.
    pub asked: Asked,
    seen: BTreeSet<(String, bool)>,
}

impl<'a> Reader<'a> {
    /// A reader of the lists among `files`.
    pub(super) fn new(files: &'a Files) -> Self {
        Self {
            files,
            asked: Asked::default(),
            seen: BTreeSet::new(),
        }
    }

    /// Reads the list at `path`.
    pub(super) fn list(&mut self, path: &str) {
        self.follow(path, false, NAMED);
    }

    fn follow(&mut self, path: &str, constrains: bool, depth: usize) {
        if PROJECT.contains(&path) {
            return;
        }
        let list = (path.to_owned(), constrains);
        if self.seen.contains(&list) {
            return;
        }
        if depth > NAMED + DEEPEST {
            self.skip(format!(
                "the list `{path}` is not read: it is more than {DEEPEST} lists deep"
            ));
            return;
        }
        self.seen.insert(list);
        let Some(text) = self.files.texts.get(path) else {
            self.asked.unread |= !constrains && depth == NAMED;
            self.skip(match self.files.has(path) {
                true => format!("the list `{path}` is not read"),
                false => format!("the list `{path}` is not in the source distribution"),
            });
            return;
        };
        let directory = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        for line in text.replace("\\\n", " ").replace("\\\r\n", " ").lines() {
            self.read(&words(line), directory, constrains, depth);
        }
    }

    /// Reads the arguments of one `pip install`, relative to the source's directory.
    pub(super) fn arguments(&mut self, words: &[String]) {
        self.read(words, "", false, 0);
    }

    fn read(&mut self, words: &[String], directory: &str, constrains: bool, depth: usize) {
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let (option, value) = split(word);
            let mut value = || value.or_else(|| words.next()).unwrap_or_default();
            match option {
                "-r" | "--requirement" | "--requirements" => {
                    let path = value();
                    self.inside(path, directory, constrains, depth);
                }
                "-c" | "--constraint" | "--constraints" => {
                    let path = value();
                    self.inside(path, directory, true, depth);
                }
                "-e" | "--editable" => {
                    let what = value();
                    self.requirement(what, constrains);
                }
                "--extra" => {
                    let extra = value().to_owned();
                    self.asked.extras.push(extra);
                }
                "--group" => {
                    let group = value().to_owned();
                    self.asked.groups.push(group);
                }
                _ if VALUES.contains(&option) => drop(value()),
                _ if option.starts_with('-') => {}
                _ => self.requirement(word, constrains),
            }
        }
    }

    fn inside(&mut self, path: &str, directory: &str, constrains: bool, depth: usize) {
        match resolve(directory, path) {
            Some(path) => self.follow(&path, constrains, depth + 1),
            None => {
                self.asked.unread |= !constrains && depth + 1 == NAMED;
                self.skip(format!(
                    "the list `{path}` is not in the source distribution"
                ));
            }
        }
    }

    fn skip(&mut self, reason: String) {
        if self.asked.skipped.len() < MOST_SKIPPED {
            self.asked.skipped.push(reason);
        } else {
            self.asked.left_out += 1;
        }
    }

    fn requirement(&mut self, text: &str, constrains: bool) {
        let asked = &mut self.asked;
        let full = asked.requirements.len() + asked.constraints.len() >= MOST;
        if text.is_empty() {
            return;
        }
        if full || text.chars().count() > LONGEST {
            asked.left_out += 1;
            return;
        }
        if let Some(extras) = own(text) {
            asked.extras.extend(extras);
        } else if text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && !text.contains(['{', '$', '/', '@', ':'])
        {
            let into = if constrains {
                &mut asked.constraints
            } else {
                &mut asked.requirements
            };
            into.push(text.to_owned());
        } else {
            self.skip(format!("`{text}` is no requirement on an index"));
        }
    }
}

/// The optional features in `.[a,b]`, where that is the package itself; compiled lists have `file:.` for it.
fn own(text: &str) -> Option<Vec<String>> {
    let path = text.strip_prefix("file:").unwrap_or(text);
    let rest = path.strip_prefix('.')?;
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    if rest.is_empty() {
        return Some(vec![]);
    }
    let extras = rest.strip_prefix('[')?.split_once(']')?.0;
    let extras = extras.split(',').map(|extra| extra.trim().to_owned());
    Some(extras.filter(|extra| !extra.is_empty()).collect())
}

/// An option and the value that is joined to it.
fn split(word: &str) -> (&str, Option<&str>) {
    if word.starts_with("--") {
        return match word.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (word, None),
        };
    }
    match word.split_at_checked(2) {
        Some((option @ ("-r" | "-c" | "-e" | "-i" | "-f"), value)) if !value.is_empty() => {
            (option, Some(value))
        }
        _ => (word, None),
    }
}

/// One line of a list: an option with its value, or a requirement without options and comment.
pub(super) fn words(line: &str) -> Vec<String> {
    let line = line.split(" #").next().unwrap_or_default().trim();
    if line.is_empty() || line.starts_with('#') {
        return vec![];
    }
    if line.starts_with('-') {
        // A value may hold spaces, as in `-e .[a, b]`.
        let words = line.splitn(2, char::is_whitespace);
        return words.map(|word| word.trim().to_owned()).collect();
    }
    let requirement = line.split(" --").next().unwrap_or_default();
    vec![requirement.trim().to_owned()]
}

/// `path` as seen from `directory`, both relative to the source's directory; none where it leaves
/// that.
fn resolve(directory: &str, path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains("://") || path.is_empty() {
        return None;
    }
    join(directory, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_followed_within_the_source() {
        let files = Files::of(&[
            (
                "requirements/tests.txt",
                "-r base.txt\n--requirement=../tests.txt\n-r tests.txt\n-r ../../etc/passwd\n-r /etc/passwd\n\
                -c limits.txt\n-e .[speed, x]\n--hash sha256:00\na==1 \\\n    --hash=sha256:11 \\\n    --hash=sha256:22\n\
                b ; python_version < '3.9'  # old\ngit+https://x.test/y\n--index-url https://evil.test\n",
            ),
            ("requirements/base.txt", "c[x]>=2,<3\n# no\n-rmissing.txt\n"),
            ("requirements/limits.txt", "c<2.5\n"),
            ("tests.txt", "d\n"),
        ]);
        let mut reader = Reader::new(&files);
        reader.arguments(&["-r".into(), "requirements/tests.txt".into(), "e".into()]);
        let asked = reader.asked;
        assert_eq!(
            asked.requirements,
            ["c[x]>=2,<3", "d", "a==1", "b ; python_version < '3.9'", "e"]
        );
        assert_eq!(asked.constraints, ["c<2.5"]);
        assert_eq!(asked.extras, ["speed", "x"]);
        assert_eq!(
            asked.skipped,
            [
                "the list `requirements/missing.txt` is not in the source distribution",
                "the list `../../etc/passwd` is not in the source distribution",
                "the list `/etc/passwd` is not in the source distribution",
                "`git+https://x.test/y` is no requirement on an index",
            ]
        );
    }

    #[test]
    fn only_what_an_index_has_is_a_requirement() {
        let files = Files::default();
        let mut reader = Reader::new(&files);
        let words = "-e file:. file:.[x] file:sub -U --upgrade-strategy eager -t out a -e ./sub";
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        reader.arguments(&words);
        let asked = reader.asked;
        assert_eq!(asked.requirements, ["a"]);
        assert_eq!(asked.extras, ["x"]);
        let no_requirement = |text: &str| format!("`{text}` is no requirement on an index");
        assert_eq!(asked.skipped, ["file:sub", "./sub"].map(no_requirement));
    }

    #[test]
    fn neither_a_project_nor_the_value_of_an_option_is_a_requirement() {
        let files = Files::of(&[("pyproject.toml", "[project]\nname = 'own'\n")]);
        let mut reader = Reader::new(&files);
        let words = "-r ./pyproject.toml --extra x -C a=b -p 3.12 --index-strategy first-index c";
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        reader.arguments(&words);
        let expected = Asked {
            requirements: vec!["c".to_owned()],
            extras: vec!["x".to_owned()],
            ..Asked::default()
        };
        assert_eq!(reader.asked, expected);
    }

    #[test]
    fn a_list_that_is_named_is_read_or_not() {
        let files = Files::of(&[("a.txt", "-r gone.txt\nb\n"), ("c.txt", "")]);
        for (words, unread) in [
            ("-r a.txt", false),
            ("-c gone.txt -r c.txt", false),
            ("-r gone.lock", true),
            ("--requirement=/tmp/a.txt", true),
        ] {
            let mut reader = Reader::new(&files);
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            reader.arguments(&words);
            assert_eq!(reader.asked.unread, unread, "{words:?}");
        }
    }

    #[test]
    fn a_long_chain_of_lists_ends() {
        let texts: Vec<(String, String)> = (0..100)
            .map(|number| {
                (
                    format!("{number}.txt"),
                    format!("-r {}.txt\na{number}\n", number + 1),
                )
            })
            .collect();
        let texts: Vec<(&str, &str)> = texts.iter().map(|(a, b)| (&**a, &**b)).collect();
        let files = Files::of(&texts);
        let mut reader = Reader::new(&files);
        reader.list("0.txt");
        assert_eq!(reader.asked.requirements.len(), DEEPEST + 1);
        assert_eq!(
            reader.asked.skipped,
            ["the list `9.txt` is not read: it is more than 8 lists deep"]
        );
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let many: String = (0..MOST + 2).map(|number| format!("a{number}\n")).collect();
        let long = format!("{}\nb\n", "x".repeat(LONGEST + 1));
        let links = "git+https://x.test/y\n".repeat(MOST_SKIPPED + 3);
        for (text, requirements, left_out) in [(&many, MOST, 2), (&long, 1, 1), (&links, 0, 3)] {
            let files = Files::of(&[("a.txt", text)]);
            let mut reader = Reader::new(&files);
            reader.list("a.txt");
            let asked = reader.asked;
            let counted = (asked.requirements.len(), asked.left_out);
            assert_eq!(counted, (requirements, left_out));
        }
    }

    #[test]
    fn a_list_that_is_there_is_not_told_to_be_missing() {
        let mut files = Files::of(&[("a.txt", "-r b.txt\n"), ("b.txt", "")]);
        files.texts.remove("b.txt");
        let mut reader = Reader::new(&files);
        reader.list("a.txt");
        assert_eq!(reader.asked.skipped, ["the list `b.txt` is not read"]);
    }
}
