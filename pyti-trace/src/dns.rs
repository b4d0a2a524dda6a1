//! The name that a message to a name server asks for (RFC 1035, section 4.1).
//!
//! Libraries for DNS want whole messages; a record holds the first bytes of one, so the first
//! question is read as far as it goes.

use std::fmt::Write as _;

use crate::event::{Event, Kind};

/// Ports on which names are asked for in clear: DNS, multicast DNS (RFC 6762), LLMNR (RFC 4795).
const PORTS: [u16; 3] = [53, 5353, 5355];
/// `SOCK_STREAM`: a message has its length before it (RFC 1035, 4.2.2).
const STREAM: u16 = 1;
/// Bytes of a message's head.
const HEAD: usize = 12;
/// Longest label; two bits above it mark what is no label.
const MAX_LABEL: u8 = 63;
/// Longest name, with the lengths of its labels.
const MAX_NAME: usize = 255;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The name without its last dot, in lower case; bytes that are no printable ASCII stand as `\xNN`.
    pub name: String,
    /// Nothing of it is missing.
    pub whole: bool,
}

/// The first question of what was sent; `None` where that is no query.
#[must_use]
pub fn query(event: &Event) -> Option<Query> {
    let asks = event.kind == Kind::Send && event.port.is_some_and(|port| PORTS.contains(&port));
    let data = event.data.as_deref().filter(|_| asks)?;
    if event.socktype == Some(STREAM) {
        parse(data.get(2..)?)
    } else {
        parse(data)
    }
}

/// The message by which a resolver asks for the address of `name`; for traces written by hand. Labels
/// are cut at their longest.
#[must_use]
pub fn message(name: &str) -> Vec<u8> {
    // Recursion desired, one question.
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let len = label.len().min(MAX_LABEL.into());
        message.push(len as u8);
        message.extend(label.bytes().take(len));
    }
    // The name's end; type A, class IN.
    message.extend([0, 0, 1, 0, 1]);
    message
}

fn parse(message: &[u8]) -> Option<Query> {
    let (head, mut rest) = message.split_first_chunk::<HEAD>()?;
    let [_, _, flags, _, questions_high, questions_low, ..] = *head;
    // A query (QR), an ordinary one (opcode 0), with a question.
    if flags & 0xf8 != 0 || (questions_high, questions_low) == (0, 0) {
        return None;
    }
    let mut name = String::new();
    let mut bytes = 0;
    let whole = loop {
        let Some((&len, after)) = rest.split_first() else {
            break false;
        };
        if len == 0 {
            break true;
        }
        bytes += 1 + usize::from(len);
        if len > MAX_LABEL || bytes >= MAX_NAME {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        let label = after.get(..len.into()).unwrap_or(after);
        append(&mut name, label);
        rest = after.get(len.into()..).unwrap_or_default();
    };
    (whole || !name.is_empty()).then_some(Query { name, whole })
}

fn append(name: &mut String, label: &[u8]) {
    for byte in label {
        if byte.is_ascii_graphic() && !matches!(byte, b'.' | b'\\') {
            name.push(byte.to_ascii_lowercase().into());
        } else {
            // Writing to a String cannot fail.
            let _ = write!(name, "\\x{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::ProcessKey;

    fn sent(port: u16, socktype: u16, data: Vec<u8>) -> Event {
        let mut event = Event::new(Kind::Send, ProcessKey::default(), 0);
        event.port = Some(port);
        event.socktype = Some(socktype);
        event.data = Some(data);
        event
    }

    fn name(event: &Event) -> Option<(String, bool)> {
        query(event).map(|query| (query.name, query.whole))
    }

    #[test]
    fn the_name_of_a_datagram_and_of_a_stream() {
        let whole = Some(("files.pythonhosted.org".to_owned(), true));
        let data = message("Files.PythonHosted.org");
        assert_eq!(name(&sent(53, 2, data.clone())), whole);
        let mut stream = vec![0, u8::try_from(data.len()).unwrap()];
        stream.extend(&data);
        assert_eq!(name(&sent(53, 1, stream)), whole);
        assert_eq!(name(&sent(5353, 2, data.clone())), whole);
        assert_eq!(name(&sent(54, 2, data)), None);
        assert_eq!(name(&sent(53, 2, message(""))), Some((String::new(), true)));
    }

    #[test]
    fn what_was_cut_is_said() {
        let data = message("example.com")[..18].to_vec();
        assert_eq!(name(&sent(53, 2, data)), Some(("examp".into(), false)));
    }

    #[test]
    fn what_is_no_query_has_no_name() {
        let mut answer = message("example.com");
        answer[2] |= 0x80;
        assert_eq!(name(&sent(53, 2, answer)), None);
        let mut none = message("example.com");
        none[5] = 0;
        assert_eq!(name(&sent(53, 2, none)), None);
        let mut pointer = message("example.com");
        pointer[12] = 0xc0;
        assert_eq!(name(&sent(53, 2, pointer)), None);
        assert_eq!(name(&sent(53, 2, b"GET / HTTP/1.1".to_vec())), None);
    }

    #[test]
    fn hostile_labels_are_escaped() {
        let data = message("a\u{1b}[2Jb");
        assert_eq!(name(&sent(53, 2, data)), Some(("a\\x1b[2jb".into(), true)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(data in proptest::collection::vec(any::<u8>(), 0..400)) {
            let name = name(&sent(53, 2, data)).map_or(String::new(), |(name, _)| name);
            prop_assert!(name.len() <= 4 * MAX_NAME);
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_graphic()));
        }

        #[test]
        fn names_come_back(labels in proptest::collection::vec("[a-z0-9-]{1,63}", 1..4)) {
            let asked = labels.join(".");
            prop_assert_eq!(name(&sent(53, 2, message(&asked))), Some((asked, true)));
        }
    }
}
