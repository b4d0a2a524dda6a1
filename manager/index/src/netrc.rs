//! The file of passwords that pip reads where an address has none: `.netrc`, as Python reads it.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::iter::Peekable;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::Chars;

use url::Url;

use crate::error::IndexError;
use crate::settings::{Settings, bad};
use crate::text::printable;

/// The largest file that is read.
const BYTES: u64 = 1 << 20;

/// Who to be for which machine. It holds passwords and cannot be printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Netrc {
    /// Of two for the same machine the later one counts.
    entries: Vec<Entry>,
    /// Which file in the home holds none of them, and why.
    pub passed_over: Option<String>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Entry {
    /// `None` is the entry for every machine that has none of its own.
    machine: Option<String>,
    login: String,
    account: String,
    password: String,
}

impl Netrc {
    /// The file that `NETRC` names, which has to be readable, else the one in the home, which has not:
    /// nobody may have thought of it, and neither pip nor uv stops at it.
    pub(crate) fn read(settings: &Settings<'_>) -> Result<Self, IndexError> {
        let path = match (settings.environment)("NETRC") {
            None => return Ok(Self::of_home(settings)),
            // So set it names no file, not even that in the home.
            Some(path) if path.is_empty() => return Ok(Self::default()),
            Some(path) => settings.at_home(PathBuf::from(path)),
        };
        Self::of(File::open(&path)).map_err(|reason| {
            let place = format!("{} of NETRC", shown(&path));
            let advice = "correct it, or do without by NETRC=/dev/null";
            bad(&place, &format!("{reason}; {advice}"))
        })
    }

    fn of_home(settings: &Settings<'_>) -> Self {
        let Some((home, _)) = settings.path("HOME") else {
            return Self::default();
        };
        for path in [".netrc", "_netrc"].map(|name| home.join(name)) {
            let absent = [ErrorKind::NotFound, ErrorKind::NotADirectory];
            let file = match open_plain(&path) {
                Err(error) if absent.contains(&error.kind()) => continue,
                file => file,
            };
            return Self::of(file).unwrap_or_else(|reason| Self {
                passed_over: Some(format!("{} was passed over: {reason}", shown(&path))),
                ..Self::default()
            });
        }
        Self::default()
    }

    /// What this file says, or why it cannot be read.
    fn of(file: io::Result<File>) -> Result<Self, String> {
        let text = file.and_then(content).map_err(|error| error.to_string())?;
        Self::parse(&text)
    }

    /// Nothing of the text stands in the reason why it cannot be understood: it may be a password.
    fn parse(text: &str) -> Result<Self, String> {
        let mut words = Words {
            text: text.chars().peekable(),
            line: 1,
        };
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(word) = words.word()? {
            let line = words.line;
            match word.as_str() {
                "machine" => {
                    let machine = Some(words.value("machine")?);
                    entries.push(Entry {
                        machine,
                        ..Entry::default()
                    });
                }
                "default" => entries.push(Entry::default()),
                "macdef" => words.skip_macro(),
                keyword @ ("login" | "user" | "account" | "password") => {
                    let value = words.value(keyword)?;
                    let Some(entry) = entries.last_mut() else {
                        return Err(format!("line {line}: `{keyword}` belongs to no machine"));
                    };
                    match keyword {
                        "account" => entry.account = value,
                        "password" => entry.password = value,
                        _ => entry.login = value,
                    }
                }
                comment if comment.starts_with('#') => words.skip_line(),
                _ => {
                    return Err(format!(
                        "line {line}: a word is none of machine, default, login, account, password \
                         and macdef"
                    ));
                }
            }
        }
        Ok(Self {
            entries,
            passed_over: None,
        })
    }

    /// Gives what is for every machine to the hosts of these indexes and to no other: pages lead to
    /// hosts that nobody here has chosen.
    pub(crate) fn keep_default_for(&mut self, indexes: &[Url]) {
        let entries = std::mem::take(&mut self.entries);
        let (mut default, named): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|entry| entry.machine.is_none());
        self.entries = named;
        let Some(default) = default.pop() else {
            return;
        };
        for host in indexes.iter().filter_map(host) {
            if self.entry(host).is_none() {
                self.entries.push(Entry {
                    machine: Some(host.to_owned()),
                    ..default.clone()
                });
            }
        }
    }

    /// The user and the password for the server of `url`, where `url` has none of its own, or names the
    /// same user without a password.
    pub(crate) fn login(&self, url: &Url) -> Option<(&str, &str)> {
        let entry = self.entry(host(url)?)?;
        let user = match entry.login.as_str() {
            "" => entry.account.as_str(),
            login => login,
        };
        let mut same = url.clone();
        // In an address a name is written in another way.
        same.set_username(user).ok()?;
        let own = url.password().is_some()
            || (!url.username().is_empty() && url.username() != same.username());
        let nobody = user.is_empty() && entry.password.is_empty();
        (!own && !nobody).then_some((user, entry.password.as_str()))
    }

    fn entry(&self, host: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| {
            let machine = entry.machine.as_deref();
            machine.is_some_and(|machine| machine.eq_ignore_ascii_case(host))
        })
    }
}

/// The host of an address, without the brackets of IPv6.
fn host(url: &Url) -> Option<&str> {
    Some(url.host_str()?.trim_matches(['[', ']']))
}

fn shown(path: &Path) -> String {
    printable(&path.display().to_string(), 200)
}

/// Opens what is a file and nothing else, without waiting: a pipe that nobody writes to has no end.
fn open_plain(path: &Path) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    Ok(file)
}

fn content(file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES {
        let reason = format!("it is larger than the limit of {BYTES} bytes");
        return Err(io::Error::other(reason));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The words of a file, with quotes and backslashes taken away.
struct Words<'a> {
    text: Peekable<Chars<'a>>,
    line: usize,
}

impl Words<'_> {
    fn character(&mut self) -> Option<char> {
        let taken = self.text.next();
        self.line += usize::from(taken == Some('\n'));
        taken
    }

    /// The next word; the line that it ends is not left.
    fn word(&mut self) -> Result<Option<String>, String> {
        while self.text.peek().is_some_and(|c| c.is_ascii_whitespace()) {
            self.character();
        }
        let Some(first) = self.text.peek().copied() else {
            return Ok(None);
        };
        let (quoted, line) = (first == '"', self.line);
        if quoted {
            self.character();
        }
        let mut word = String::new();
        loop {
            match self.text.peek().copied() {
                None if quoted => return Err(format!("line {line}: a quote does not end")),
                None => break,
                Some('"') if quoted => {
                    self.character();
                    break;
                }
                Some(c) if !quoted && c.is_ascii_whitespace() => break,
                Some('\\') => {
                    self.character();
                    word.extend(self.character());
                }
                Some(_) => word.extend(self.character()),
            }
        }
        Ok(Some(word))
    }

    /// The word after `keyword`.
    fn value(&mut self, keyword: &str) -> Result<String, String> {
        let line = self.line;
        self.word()?
            .ok_or_else(|| format!("line {line}: nothing comes after `{keyword}`"))
    }

    fn skip_line(&mut self) {
        while self.character().is_some_and(|c| c != '\n') {}
    }

    /// The rest of a macro: its name, and the lines below it until an empty one.
    fn skip_macro(&mut self) {
        self.skip_line();
        let mut blank = true;
        while let Some(c) = self.character() {
            if c != '\n' {
                blank &= c.is_whitespace();
            } else if blank {
                return;
            } else {
                blank = true;
            }
        }
    }
}

#[cfg(test)]
mod tests;
