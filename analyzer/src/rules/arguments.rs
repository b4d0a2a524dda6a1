//! What a program is told to do by its arguments, as far as rules ask: which file an interpreter is to
//! run, and which files a download is to write.

use crate::tree::base_name;

/// Where an interpreter gets the program that it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script<'a> {
    /// From this file, as the caller named it.
    File(&'a str),
    /// From its standard input.
    Input,
    /// From its arguments, a module, or nowhere: it was asked for its version.
    Elsewhere,
    /// The arguments were cut before they said.
    Cut,
}

/// How an interpreter reads its command line up to the script.
struct Options {
    /// Letters after which no script follows.
    elsewhere: &'static str,
    /// Letters that say standard input.
    input: &'static str,
    /// Letters that take a value.
    valued: &'static str,
    /// Long options after which no script follows.
    long_elsewhere: &'static [&'static str],
    /// Long options whose value is the next argument.
    long_valued: &'static [&'static str],
    /// Without a script it reads standard input.
    reads_input: bool,
    /// A lone dash ends the options, and is not standard input.
    dash_ends: bool,
}

/// dash(1), bash(1).
const SHELL: Options = Options {
    elsewhere: "c",
    input: "s",
    valued: "oO",
    long_elsewhere: &["--version", "--help"],
    long_valued: &["--rcfile", "--init-file"],
    reads_input: true,
    dash_ends: true,
};

/// <https://docs.python.org/3/using/cmdline.html>.
const PYTHON: Options = Options {
    elsewhere: "cmVh?",
    input: "",
    valued: "WX",
    long_elsewhere: &[
        "--version",
        "--help",
        "--help-env",
        "--help-xoptions",
        "--help-all",
    ],
    long_valued: &["--check-hash-based-pycs"],
    reads_input: true,
    dash_ends: false,
};

/// perl(1), ruby(1), node(1).
const OTHERS: Options = Options {
    elsewhere: "eEpvVh",
    input: "",
    valued: "rI",
    long_elsewhere: &["--eval", "--print", "--version", "--help", "--check"],
    long_valued: &["--require", "--import"],
    reads_input: true,
    dash_ends: false,
};

/// ld.so(8).
const LINKER: Options = Options {
    elsewhere: "",
    input: "",
    valued: "",
    long_elsewhere: &[
        "--list",
        "--verify",
        "--help",
        "--version",
        "--list-tunables",
        "--list-diagnostics",
    ],
    long_valued: &[
        "--library-path",
        "--preload",
        "--argv0",
        "--audit",
        "--inhibit-rpath",
        "--glibc-hwcaps-prepend",
        "--glibc-hwcaps-mask",
    ],
    reads_input: false,
    dash_ends: false,
};

impl Options {
    /// Those of the program of this path; `None`: it is no interpreter that is known.
    fn of(program: &str) -> Option<&'static Self> {
        let name = base_name(program);
        let unversioned = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        Some(match unversioned {
            "sh" | "bash" | "dash" | "zsh" | "ksh" | "ash" => &SHELL,
            "python" => &PYTHON,
            "perl" | "ruby" | "node" => &OTHERS,
            // ld-linux-x86-64.so.2, ld-musl-x86_64.so.1.
            "ld.so" => &LINKER,
            other if other.starts_with("ld-") && name.contains(".so") => &LINKER,
            _ => return None,
        })
    }
}

/// What the interpreter at `program` runs; `None` where that is no interpreter. `whole` says that no
/// argument is missing.
#[must_use]
pub fn script<'a>(program: &str, argv: &'a [String], whole: bool) -> Option<Script<'a>> {
    let options = Options::of(program)?;
    let mut words = argv.iter().skip(1).map(String::as_str);
    while let Some(word) = words.next() {
        let Some(letters) = word
            .strip_prefix(['-', '+'])
            .filter(|rest| !rest.is_empty())
        else {
            if word != "-" {
                return Some(Script::File(word));
            }
            if !options.dash_ends {
                return Some(Script::Input);
            }
            continue;
        };
        if word == "--" {
            continue;
        }
        if word.starts_with("--") {
            let name = word.split('=').next().unwrap_or(word);
            if options.long_elsewhere.contains(&name) {
                return Some(Script::Elsewhere);
            }
            if options.long_valued.contains(&word) {
                words.next();
            }
            continue;
        }
        for (at, letter) in letters.char_indices() {
            if options.elsewhere.contains(letter) {
                return Some(Script::Elsewhere);
            }
            if options.input.contains(letter) {
                return Some(Script::Input);
            }
            if options.valued.contains(letter) {
                if at + letter.len_utf8() == letters.len() {
                    words.next();
                }
                break;
            }
        }
    }
    Some(match (whole, options.reads_input) {
        (false, _) => Script::Cut,
        (true, true) => Script::Input,
        (true, false) => Script::Elsewhere,
    })
}

/// Letters of curl's options that take a value (curl(1)).
const CURL_VALUED: &str = "AbcCdDeEFhHKmPQrtTuUwxXyYz";
/// The same of wget's (wget(1)).
const WGET_VALUED: &str = "aeiBtTwQUlARDIX";

/// The files that curl or wget are told to write, as the caller named them.
#[must_use]
pub fn downloads(program: &str, argv: &[String]) -> Vec<String> {
    let curl = match base_name(program) {
        "curl" => true,
        "wget" => false,
        _ => return Vec::new(),
    };
    let (valued, output, directory) = if curl {
        (CURL_VALUED, 'o', "--output-dir")
    } else {
        (WGET_VALUED, 'O', "--directory-prefix")
    };
    let (mut outputs, mut urls) = (Vec::new(), Vec::new());
    // wget names the file after the address unless it is told otherwise.
    let mut by_url = !curl;
    let mut below = String::new();
    let mut words = argv.iter().skip(1).map(String::as_str);
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            match name {
                "output" | "output-document" => outputs.extend(value.or_else(|| words.next())),
                "remote-name" | "remote-name-all" => by_url = true,
                _ if Some(name) == directory.strip_prefix("--") => {
                    below = value
                        .or_else(|| words.next())
                        .unwrap_or_default()
                        .to_owned();
                }
                _ => {}
            }
            continue;
        }
        let Some(letters) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            urls.push(word);
            continue;
        };
        for (at, letter) in letters.char_indices() {
            let rest = &letters[at + letter.len_utf8()..];
            let takes = letter == output || valued.contains(letter) || (!curl && letter == 'P');
            if !takes {
                by_url |= curl && letter == 'O';
                continue;
            }
            let value = if rest.is_empty() {
                words.next()
            } else {
                Some(rest)
            };
            if letter == output {
                outputs.extend(value);
            } else if !curl && letter == 'P' {
                below = value.unwrap_or_default().to_owned();
            }
            break;
        }
    }
    let named = !outputs.is_empty();
    let mut files: Vec<String> = outputs
        .into_iter()
        .filter(|output| *output != "-")
        .map(str::to_owned)
        .collect();
    if by_url && (curl || !named) {
        files.extend(urls.into_iter().filter_map(|url| named_by(url, curl)));
    }
    if !below.is_empty() {
        for file in files.iter_mut().filter(|file| !file.starts_with('/')) {
            *file = format!("{below}/{file}");
        }
    }
    files
}

/// The name that a download gets from its address. curl leaves out what is asked of the server.
fn named_by(url: &str, curl: bool) -> Option<String> {
    let url = url.split('#').next()?;
    let path = if curl { url.split('?').next()? } else { url };
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let (_, name) = path.rsplit_once('/')?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn interpreters_say_what_they_run() {
        for (program, line, expected) in [
            ("/usr/bin/dash", "sh x.sh -c", Some(Script::File("x.sh"))),
            ("/usr/bin/dash", "sh -ex - x.sh", Some(Script::File("x.sh"))),
            ("/usr/bin/dash", "sh", Some(Script::Input)),
            ("/usr/bin/bash", "bash -s -- --yes", Some(Script::Input)),
            ("/usr/bin/bash", "bash -lc make", Some(Script::Elsewhere)),
            (
                "/usr/bin/bash",
                "bash -o errexit x",
                Some(Script::File("x")),
            ),
            ("/usr/bin/python3.13", "python3 -u -", Some(Script::Input)),
            (
                "/usr/bin/python3.13",
                "python3 -Im pip",
                Some(Script::Elsewhere),
            ),
            (
                "/usr/bin/python3.13",
                "python3 -W ignore setup.py -c",
                Some(Script::File("setup.py")),
            ),
            ("/usr/bin/perl", "perl -ne print", Some(Script::Elsewhere)),
            ("/usr/bin/node", "node --eval 1", Some(Script::Elsewhere)),
            (
                "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
                "ld.so --argv0 ls /tmp/x",
                Some(Script::File("/tmp/x")),
            ),
            (
                "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
                "ld.so --verify /tmp/x",
                Some(Script::Elsewhere),
            ),
            ("/usr/bin/x86_64-linux-gnu-ld.bfd", "ld -o x", None),
            ("/usr/bin/gcc", "gcc x.c", None),
        ] {
            assert_eq!(script(program, &words(line), true), expected, "{line}");
        }
        assert_eq!(
            script("/bin/sh", &words("sh -e"), false),
            Some(Script::Cut),
            "more may follow"
        );
    }

    #[test]
    fn downloads_say_what_they_write() {
        for (line, expected) in [
            ("curl -fsSL http://h/i.sh", &[][..]),
            ("curl -fsSLo /tmp/i http://h/i.sh", &["/tmp/i"]),
            ("curl --output=i -H Accept:x http://h/i.sh", &["i"]),
            ("curl -LO http://h/i.sh?v=1 --retry 3", &["i.sh"]),
            ("curl --output-dir /tmp -O http://h/i.sh", &["/tmp/i.sh"]),
            ("wget -q http://h/i.sh", &["i.sh"]),
            ("wget -qO- http://h/i.sh", &[]),
            ("wget -q -O x http://h/i.sh", &["x"]),
            ("wget -P /tmp http://h/i.sh", &["/tmp/i.sh"]),
            ("tar -O x", &[]),
        ] {
            let argv = words(line);
            assert_eq!(downloads(&argv[0], &argv), expected, "{line}");
        }
    }
}
