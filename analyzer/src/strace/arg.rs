//! Arguments of a call as strace prints them: strings, numbers and flags, lists, structures,
//! descriptors with what they stand for.

use super::text::{text, unescape};

/// Lists in structures in lists: what is nested deeper is no argument of a real call.
const MAX_DEPTH: usize = 16;

/// An argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg<'a> {
    /// A string, and whether strace cut it (option -s). An abstract socket's begins with NUL.
    Text(Vec<u8>, bool),
    /// A list, and whether strace left items out.
    List(Vec<Arg<'a>>, bool),
    /// A structure: its fields by name, where they have one.
    Struct(Vec<(Option<&'a str>, Arg<'a>)>),
    /// A number, a name, flags, a pointer.
    Word(&'a str),
    /// A descriptor, or `AT_FDCWD`, with what stands for it.
    Descriptor(&'a str, Shown),
    /// What looks like a call: `htons(53)`, `makedev(0x8, 0x1)`.
    Of(&'a str, Vec<Arg<'a>>),
    /// An argument with its name: `flags=CLONE_VM`.
    Named(&'a str, Box<Arg<'a>>),
}

/// What strace shows for a descriptor (options -y and -yy).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// A path, as the kernel resolves it now.
    File {
        /// The path.
        path: String,
        /// The file has lost this name.
        deleted: bool,
        /// It is a device, of this kind and number: `char 1:3`.
        device: Option<String>,
    },
    /// A socket.
    Socket {
        /// `TCP`, `UDPv6`, `UNIX-STREAM`, …; `socket` where strace does not know.
        protocol: String,
        /// Its own address, where it has one.
        local: Option<(String, u16)>,
        /// The other end's.
        peer: Option<(String, u16)>,
    },
    /// A process (a pidfd), where strace knows which.
    Process(u32),
    /// A user namespace.
    UserNamespace,
    /// A pipe without a name: one that has one is shown as a file.
    Pipe,
    /// An epoll, a timer, …
    Other,
}

impl<'a> Arg<'a> {
    /// The word; of a descriptor its number.
    pub fn word(&self) -> Option<&'a str> {
        match self {
            Self::Word(word) | Self::Descriptor(word, _) => Some(word),
            Self::Named(_, inner) => inner.word(),
            _ => None,
        }
    }

    /// The whole number, as a descriptor or a result is one.
    pub fn int(&self) -> Option<i64> {
        let word = self.word()?;
        match word.strip_prefix('-') {
            Some(digits) => digits.parse::<i64>().ok().map(|number| -number),
            None => super::names::number(word)?.try_into().ok(),
        }
    }

    /// The number of a descriptor.
    pub fn fd(&self) -> Option<i32> {
        self.int()?.try_into().ok()
    }

    /// What stands for the descriptor.
    pub fn shown(&self) -> Option<&Shown> {
        match self {
            Self::Descriptor(_, shown) => Some(shown),
            _ => None,
        }
    }

    /// The field of a structure.
    pub fn field(&self, name: &str) -> Option<&Arg<'a>> {
        let Self::Struct(fields) = self else {
            return None;
        };
        let found = fields.iter().find(|(field, _)| *field == Some(name));
        found.map(|(_, value)| value)
    }
}

/// Why the arguments could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its arguments are not written as strace writes them")]
pub struct ArgError;

/// A place in a text.
pub struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Goes on behind `token`, where it stands here.
    pub fn take(&mut self, token: &[u8]) -> bool {
        let here = self.rest().starts_with(token);
        if here {
            self.at += token.len();
        }
        here
    }

    /// Skips blanks and comments: `/* 35 vars */`.
    pub fn skip(&mut self) {
        loop {
            while self.peek() == Some(b' ') {
                self.at += 1;
            }
            if !self.take(b"/*") {
                return;
            }
            let rest = self.rest();
            let end = rest.windows(2).position(|part| part == b"*/");
            self.at += end.map_or(rest.len(), |end| end + 2);
        }
    }

    /// Arguments up to `close`, which is taken. The second says that some were left out.
    ///
    /// # Errors
    /// `close` is missing, or something else stands where an argument should.
    pub fn args(&mut self, close: u8) -> Result<(Vec<Arg<'a>>, bool), ArgError> {
        self.list(close, 0)
    }

    fn list(&mut self, close: u8, depth: usize) -> Result<(Vec<Arg<'a>>, bool), ArgError> {
        let mut items = Vec::new();
        let mut cut = false;
        loop {
            self.skip();
            match self.peek() {
                None => return Err(ArgError),
                Some(byte) if byte == close => {
                    self.at += 1;
                    return Ok((items, cut));
                }
                Some(b',') => self.at += 1,
                // `{old} => {new}`: what was handed in comes first and is what is wanted.
                Some(b'=') if self.take(b"=>") => {
                    self.skip();
                    self.arg(depth)?;
                }
                // What the kernel would have filled in, of a call that never returned.
                Some(_) if self.take(b"...") || self.take(b"<unfinished ...>") => cut = true,
                Some(_) => items.push(self.arg(depth)?),
            }
        }
    }

    /// An argument.
    ///
    /// # Errors
    /// There is none here.
    pub fn arg(&mut self, depth: usize) -> Result<Arg<'a>, ArgError> {
        if depth > MAX_DEPTH {
            return Err(ArgError);
        }
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'@') if self.rest().get(1) == Some(&b'"') => {
                self.at += 1;
                Ok(match self.string()? {
                    Arg::Text(mut name, cut) => {
                        name.insert(0, 0);
                        Arg::Text(name, cut)
                    }
                    other => other,
                })
            }
            Some(b'[') => {
                self.at += 1;
                let (items, cut) = self.list(b']', depth + 1)?;
                Ok(Arg::List(items, cut))
            }
            Some(b'~') if self.rest().get(1) == Some(&b'[') => {
                self.at += 2;
                self.list(b']', depth + 1)?;
                Ok(Arg::Word("~"))
            }
            Some(b'{') => {
                self.at += 1;
                let (items, _) = self.list(b'}', depth + 1)?;
                let fields = items.into_iter().map(|item| match item {
                    Arg::Named(name, value) => (Some(name), *value),
                    value => (None, value),
                });
                Ok(Arg::Struct(fields.collect()))
            }
            _ => self.word(depth),
        }
    }

    fn string(&mut self) -> Result<Arg<'a>, ArgError> {
        let bytes = self.quoted()?;
        Ok(Arg::Text(bytes, self.take(b"...")))
    }

    fn quoted(&mut self) -> Result<Vec<u8>, ArgError> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let byte = self.peek().ok_or(ArgError)?;
            self.at += 1;
            match byte {
                b'"' => return Ok(bytes),
                b'\\' => {
                    let (byte, length) = unescape(self.rest()).ok_or(ArgError)?;
                    bytes.push(byte);
                    self.at += length;
                }
                byte => bytes.push(byte),
            }
        }
    }

    fn word(&mut self, depth: usize) -> Result<Arg<'a>, ArgError> {
        let begin = self.at;
        while let Some(byte) = self.peek() {
            let ends = b" ,()[]{}\"=".contains(&byte)
                // A shift (`1<<CAP_CHOWN`) is part of a word, a single `<` begins what is shown.
                || (byte == b'<' && self.rest().get(1) != Some(&b'<') && !self.behind(b'<'));
            // `==` and `=>` stand alone, as `&&` does.
            if ends && !(byte == b'=' && self.at == begin && self.rest().get(1) == Some(&b'=')) {
                break;
            }
            self.at += if byte == b'=' { 2 } else { 1 };
        }
        let word = self.text.get(begin..self.at).ok_or(ArgError)?;
        let word = std::str::from_utf8(word).map_err(|_| ArgError)?;
        if word.is_empty() {
            return Err(ArgError);
        }
        match self.peek() {
            Some(b'<') => {
                self.at += 1;
                Ok(Arg::Descriptor(word, self.shown()?))
            }
            Some(b'(') => {
                self.at += 1;
                let (items, _) = self.list(b')', depth + 1)?;
                Ok(Arg::Of(word, items))
            }
            Some(b'=') if self.rest().get(1) != Some(&b'>') => {
                self.at += 1;
                self.skip();
                Ok(Arg::Named(word, Box::new(self.arg(depth + 1)?)))
            }
            _ => Ok(Arg::Word(word)),
        }
    }

    fn behind(&self, byte: u8) -> bool {
        self.at > 0 && self.text.get(self.at - 1) == Some(&byte)
    }

    /// What stands behind `<`, up to its `>` and `(deleted)` behind that. strace escapes both
    /// brackets in paths; a device stands nested (`<char 1:3>`); addresses are joined by `->`.
    fn shown(&mut self) -> Result<Shown, ArgError> {
        let is_path = self.peek() == Some(b'/');
        let mut bytes = Vec::new();
        let mut device = None;
        loop {
            let byte = self.peek().ok_or(ArgError)?;
            self.at += 1;
            match byte {
                b'>' if is_path || bytes.last() != Some(&b'-') => break,
                b'<' => {
                    let rest = self.rest();
                    let end = rest.iter().position(|byte| *byte == b'>');
                    let end = end.ok_or(ArgError)?;
                    self.at += end + 1;
                    device = rest.get(..end).map(|kind| text(kind).0);
                }
                b'\\' => {
                    let (byte, length) = unescape(self.rest()).ok_or(ArgError)?;
                    bytes.push(byte);
                    self.at += length;
                }
                b'"' if !is_path => {
                    self.at -= 1;
                    bytes.extend(self.quoted()?);
                }
                byte => bytes.push(byte),
            }
        }
        let mut deleted = self.take(b"(deleted)");
        if !is_path {
            return Ok(other(&text(&bytes).0));
        }
        // Before strace 5.?, as the kernel's link says it.
        if let Some(path) = bytes.strip_suffix(b" (deleted)") {
            bytes.truncate(path.len());
            deleted = true;
        }
        Ok(Shown::File {
            path: text(&bytes).0,
            deleted,
            device,
        })
    }
}

/// `TCP:[127.0.0.1:5000->127.0.0.1:80]`, `UNIX-STREAM:[1234]`, `pipe:[5]`, `pid:1234`.
fn other(shown: &str) -> Shown {
    if let Some(pid) = shown.strip_prefix("pid:").and_then(|pid| pid.parse().ok()) {
        return Shown::Process(pid);
    }
    let Some((protocol, rest)) = shown.split_once(":[") else {
        return Shown::Other;
    };
    match protocol {
        "pipe" => return Shown::Pipe,
        "user" => return Shown::UserNamespace,
        _ => {}
    }
    let sockets = [
        "TCP", "UDP", "UNIX", "NETLINK", "RAW", "PING", "PACKET", "SCTP", "DCCP",
    ];
    if protocol != "socket" && !sockets.iter().any(|name| protocol.starts_with(name)) {
        return Shown::Other;
    }
    let ends = rest.strip_suffix(']').unwrap_or(rest);
    let (local, peer) = match ends.split_once("->") {
        Some((local, peer)) => (address(local), address(peer)),
        None => (address(ends), None),
    };
    Shown::Socket {
        protocol: protocol.to_owned(),
        local,
        peer,
    }
}

/// `127.0.0.1:80` or `[::1]:80`.
fn address(text: &str) -> Option<(String, u16)> {
    let (addr, port) = text.rsplit_once(':')?;
    let addr = addr.strip_prefix('[').unwrap_or(addr);
    let addr: std::net::IpAddr = addr.strip_suffix(']').unwrap_or(addr).parse().ok()?;
    Some((addr.to_canonical().to_string(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<Arg<'_>> {
        let mut cursor = Cursor::new(text.as_bytes());
        let (args, _) = cursor.args(b')').unwrap();
        assert_eq!(cursor.rest(), b"");
        args
    }

    fn file(path: &str, deleted: bool, device: Option<&str>) -> Shown {
        Shown::File {
            path: path.to_owned(),
            deleted,
            device: device.map(str::to_owned),
        }
    }

    #[test]
    fn strings_and_descriptors() {
        let seen = args(r#"AT_FDCWD</tmp/a\74b\76>, "x\"\\\n\377"..., O_RDONLY|O_CLOEXEC)"#);
        assert_eq!(
            seen[0],
            Arg::Descriptor("AT_FDCWD", file("/tmp/a<b>", false, None))
        );
        assert_eq!(seen[1], Arg::Text(b"x\"\\\n\xff".to_vec(), true));
        assert_eq!(seen[2].word(), Some("O_RDONLY|O_CLOEXEC"));
        let seen = args("8<user:[4026531837]>, 8<net:[4026531840]>)");
        assert_eq!(seen[0].shown(), Some(&Shown::UserNamespace));
        assert_eq!(seen[1].shown(), Some(&Shown::Other));
        let seen = args("8<pid:26382>, 8<pid:x>)");
        assert_eq!(seen[0].shown(), Some(&Shown::Process(26382)));
        assert_eq!(
            (seen[0].fd(), seen[1].shown()),
            (Some(8), Some(&Shown::Other))
        );
        let seen = args("3</memfd:x>(deleted), 1</dev/null<char 1:3>>, 4<pipe:[7]>, -1)");
        assert_eq!(seen[0].shown(), Some(&file("/memfd:x", true, None)));
        let null = file("/dev/null", false, Some("char 1:3"));
        assert_eq!(seen[1].shown(), Some(&null));
        assert_eq!(seen[2].shown(), Some(&Shown::Pipe));
        assert_eq!((seen[2].int(), seen[3].int()), (Some(4), Some(-1)));
    }

    #[test]
    fn sockets() {
        let socket = |text: &str| match &args(text)[0] {
            Arg::Descriptor(
                _,
                Shown::Socket {
                    protocol,
                    local,
                    peer,
                },
            ) => (protocol.clone(), local.clone(), peer.clone()),
            other => panic!("{other:?}"),
        };
        let at = |addr: &str, port| Some((addr.to_owned(), port));
        assert_eq!(
            socket("8<TCP:[127.0.0.1:50001->127.0.0.1:37830]>)"),
            ("TCP".into(), at("127.0.0.1", 50001), at("127.0.0.1", 37830))
        );
        assert_eq!(
            socket("9<UDPv6:[[::]:39872]>)"),
            ("UDPv6".into(), at("::", 39872), None)
        );
        assert_eq!(socket("9<TCP:[54693]>)"), ("TCP".into(), None, None));
        assert_eq!(
            socket("3<UNIX-STREAM:[12->13, \"/run/a]>b\"]>)"),
            ("UNIX-STREAM".into(), None, None)
        );
    }

    #[test]
    fn structures() {
        let seen = args(
            "{sa_family=AF_INET6, sin6_port=htons(53), inet_pton(AF_INET6, \"::1\", &sin6_addr), \
             x=[{a=1, ...}, ...]}, 28)",
        );
        assert_eq!(seen[0].field("sa_family"), Some(&Arg::Word("AF_INET6")));
        assert_eq!(
            seen[0].field("sin6_port"),
            Some(&Arg::Of("htons", vec![Arg::Word("53")]))
        );
        assert!(matches!(seen[0].field("x"), Some(Arg::List(items, true)) if items.len() == 1));
        let seen = args("{flags=CLONE_VM} => {parent_tid=[11632]}, 88)");
        assert_eq!(seen.len(), 2);
        let seen = args("0x7ffd /* 35 vars */, child_stack=NULL, ~[RTMIN RT_1], [1<<CAP_CHOWN|1])");
        assert_eq!(seen.len(), 4);
        let seen = args("[{WIFEXITED(s) && WEXITSTATUS(s) == 0}], [16 => 28], @\"abs\")");
        assert_eq!(seen[2], Arg::Text(b"\0abs".to_vec(), false));
    }

    #[test]
    fn what_does_not_close_is_refused() {
        for bad in [
            "\"abc",
            "[1, 2",
            "{a=",
            "3</tmp",
            "\"\\q\")",
            "",
            "a\u{e9}\u{301}<",
        ] {
            assert_eq!(
                Cursor::new(bad.as_bytes()).args(b')'),
                Err(ArgError),
                "{bad}"
            );
        }
        let deep = "[".repeat(100_000);
        assert_eq!(Cursor::new(deep.as_bytes()).args(b')'), Err(ArgError));
    }
}
