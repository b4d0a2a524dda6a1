//! Sockets: made, connected, bound, listening, accepting, sending.

use std::net::IpAddr;

use pyti_trace::event::{Event, Incomplete, Kind};

use super::arg::{Arg, Shown};
use super::call::Call;
use super::changes::understood;
use super::import::{Importer, Who};
use super::names;
use super::processes::Descriptor;
use super::text::text;
use super::writes::first_bytes;

const AF_UNSPEC: u16 = 0;
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_NETLINK: u16 = 16;
const SOCK_STREAM: u16 = 1;
const EMFILE: i64 = -24;
const EOPNOTSUPP: i64 = -95;
/// Bytes of a connection whose sends are recorded, as the probes record: the first one may be a decoy.
const FIRST_BYTES: u64 = 64;
/// Bytes kept of what is sent, as the probes keep.
const SAMPLE: usize = 320;

impl Importer {
    pub(super) fn socket(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = call.result else { return };
        let family = call.word(0).and_then(names::family);
        let socktype = call.word(1).and_then(names::socket_type);
        let mut draft = self.draft(Kind::Socket, who.process, who.tid, result);
        (draft.event.family, draft.event.socktype) = (family, socktype);
        self.keep(draft);
        if let Ok(fd @ 0..) = i32::try_from(result) {
            let cloexec = call
                .word(1)
                .is_some_and(|kind| kind.contains("SOCK_CLOEXEC"));
            self.put(who, fd, (family, socktype), None, cloexec);
        }
    }

    /// Two sockets, each of which is an event.
    pub(super) fn socket_pair(&mut self, who: Who, call: &Call<'_>) {
        // Where there is no descriptor left for them, none is made.
        let Some(result) = understood(call).filter(|result| *result != EMFILE) else {
            return;
        };
        let family = call.word(0).and_then(names::family);
        let socktype = call.word(1).and_then(names::socket_type);
        // There are both, and the family has no pairs; else the first one was refused.
        let made = result >= 0 || result == EOPNOTSUPP || self.unknown;
        let (times, result) = if made { (2, 0) } else { (1, result) };
        for _ in 0..times {
            let mut draft = self.draft(Kind::Socket, who.process, who.tid, result);
            (draft.event.family, draft.event.socktype) = (family, socktype);
            self.keep(draft);
        }
        let Some(Arg::List(pair, _)) = call.arg(3) else {
            return;
        };
        if call.result == Some(0) {
            let cloexec = call
                .word(1)
                .is_some_and(|kind| kind.contains("SOCK_CLOEXEC"));
            for fd in pair.iter().take(2).filter_map(Arg::fd) {
                self.put(who, fd, (family, socktype), None, cloexec);
            }
        }
    }

    fn put(
        &mut self,
        who: Who,
        fd: i32,
        socket: (Option<u16>, Option<u16>),
        peer: Option<(String, u16)>,
        cloexec: bool,
    ) {
        self.flush(who, fd);
        self.processes.change(who.process, fd, |one| {
            *one = Descriptor {
                socket: Some(socket),
                peer,
                cloexec,
                ..Descriptor::default()
            };
        });
    }

    /// connect and bind.
    pub(super) fn name_socket(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = call.result else { return };
        let kind = if call.name == "bind" {
            Kind::Bind
        } else {
            Kind::Connect
        };
        let mut draft = self.draft(kind, who.process, who.tid, result);
        self.describe_socket(who, call.arg(0), &mut draft.event);
        // The other end's address until now is not the one that is asked for.
        (draft.event.addr, draft.event.port) = (None, None);
        address(call.arg(1), &mut draft.event);
        if draft.event.family == Some(AF_NETLINK) {
            return;
        }
        if kind == Kind::Connect
            && let Some(fd) = descriptor(call.arg(0))
        {
            let peer = draft.event.addr.clone().zip(draft.event.port);
            let known = (draft.event.family, draft.event.socktype);
            self.processes.change(who.process, fd, |one| {
                if known.0 != Some(AF_UNSPEC) {
                    one.socket = Some(known);
                }
                (one.peer, one.sent) = (peer, 0);
            });
        }
        self.keep(draft);
    }

    pub(super) fn listen(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = call.result else { return };
        let mut draft = self.draft(Kind::Listen, who.process, who.tid, result);
        self.describe_socket(who, call.arg(0), &mut draft.event);
        if let Some(Shown::Socket { local, .. }) = call.arg(0).and_then(Arg::shown) {
            put_address(&mut draft.event, local.clone());
        }
        self.keep(draft);
    }

    pub(super) fn accept(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = call.result else { return };
        let mut draft = self.draft(Kind::Accept, who.process, who.tid, result);
        self.describe_socket(who, call.arg(0), &mut draft.event);
        (draft.event.addr, draft.event.port) = (None, None);
        if let Some(Shown::Socket { peer, .. }) = &call.shown {
            put_address(&mut draft.event, peer.clone());
        }
        if result >= 0 {
            address(call.arg(1), &mut draft.event);
        }
        if let Ok(fd @ 0..) = i32::try_from(result) {
            let known = (draft.event.family, draft.event.socktype);
            let peer = draft.event.addr.clone().zip(draft.event.port);
            let cloexec = call
                .word(3)
                .is_some_and(|flags| flags.contains("SOCK_CLOEXEC"));
            self.put(who, fd, known, peer, cloexec);
        }
        self.keep(draft);
    }

    pub(super) fn send(&mut self, who: Who, call: &Call<'_>) {
        let (Some(result), Some(to)) = (call.result, call.arg(0)) else {
            return;
        };
        match call.name {
            "sendmsg" => {
                let message = call.arg(1);
                let field = |name| message.and_then(|message| message.field(name));
                if result >= 0 || self.unknown {
                    self.lend(who, message);
                }
                self.sent(who, to, field("msg_name"), field("msg_iov"), result);
            }
            "sendmmsg" => {
                let Some(Arg::List(messages, _)) = call.arg(1) else {
                    self.lend(who, call.arg(1));
                    return self.sent(who, to, None, None, result);
                };
                let done = match usize::try_from(result) {
                    Err(_) if self.unknown => messages.len(),
                    done => done.unwrap_or(1),
                };
                for message in messages.iter().take(done) {
                    let head = message.field("msg_hdr");
                    let field = |name| head.and_then(|head| head.field(name));
                    let bytes = message.field("msg_len").and_then(Arg::int);
                    if result >= 0 || self.unknown {
                        self.lend(who, head);
                    }
                    let bytes = if result < 0 {
                        result
                    } else {
                        bytes.unwrap_or(0)
                    };
                    self.sent(who, to, field("msg_name"), field("msg_iov"), bytes);
                }
            }
            _ => self.sent(who, to, call.arg(4), call.arg(1), result),
        }
    }

    /// Datagrams, sends that name a destination, and the first ones of a connection, as the probes
    /// record them. `data` is a buffer, or a list of them.
    pub(super) fn sent(
        &mut self,
        who: Who,
        to: &Arg<'_>,
        name: Option<&Arg<'_>>,
        data: Option<&Arg<'_>>,
        result: i64,
    ) {
        let mut draft = self.draft(Kind::Send, who.process, who.tid, result);
        let event = &mut draft.event;
        self.describe_socket(who, Some(to), event);
        if event.family == Some(AF_NETLINK) {
            return;
        }
        let fd = descriptor(Some(to));
        let known = fd.and_then(|fd| self.processes.descriptor(who.process, fd));
        let named = matches!(name, Some(Arg::Struct(_)));
        if named {
            (event.addr, event.port) = (None, None);
            address(name, event);
        } else {
            if event.addr.is_none() {
                put_address(event, known.and_then(|known| known.peer.clone()));
            }
            let stream = event.socktype == Some(SOCK_STREAM);
            if stream && known.is_some_and(|known| known.sent >= FIRST_BYTES) {
                return;
            }
            let bytes = u64::try_from(result).unwrap_or_default();
            if let (Some(fd), true) = (fd, stream && bytes > 0) {
                self.processes.change(who.process, fd, |one| {
                    one.sent = one.sent.saturating_add(bytes);
                });
            }
        }
        let written = u64::try_from(result).ok();
        event.bytes = written;
        if let Some((bytes, cut)) = first_bytes(data, SAMPLE) {
            event.data = Some(bytes);
            self.doubts.cut |= cut;
        }
        let kept = event.data.as_ref().map(|data| data.len() as u64);
        let whole = kept.is_some() && kept == event.bytes;
        event.incomplete.set(Incomplete::DATA_INCOMPLETE, !whole);
        self.keep(draft);
    }

    /// Family, type and other end of a socket, from what is shown for it or was seen of it.
    pub(super) fn describe_socket(&self, who: Who, fd: Option<&Arg<'_>>, event: &mut Event) {
        let known = descriptor(fd).and_then(|fd| self.processes.descriptor(who.process, fd));
        if let Some((family, socktype)) = known.and_then(|known| known.socket) {
            (event.family, event.socktype) = (family, socktype);
            put_address(event, known.and_then(|known| known.peer.clone()));
        }
        if let Some(Shown::Socket { protocol, peer, .. }) = fd.and_then(Arg::shown) {
            let (family, socktype) = of_protocol(protocol);
            event.family = family.or(event.family);
            event.socktype = socktype.or(event.socktype);
            if peer.is_some() {
                put_address(event, peer.clone());
            }
        }
    }
}

fn descriptor(fd: Option<&Arg<'_>>) -> Option<i32> {
    fd?.int()?.try_into().ok()
}

/// `TCPv6`: inet6, stream.
fn of_protocol(protocol: &str) -> (Option<u16>, Option<u16>) {
    let (base, v6) = match protocol.strip_suffix("v6") {
        Some(base) => (base, true),
        None => (protocol, false),
    };
    let inet = Some(if v6 { AF_INET6 } else { AF_INET });
    match base {
        "TCP" => (inet, Some(SOCK_STREAM)),
        "UDP" => (inet, Some(2)),
        "RAW" => (inet, Some(3)),
        "UNIX-STREAM" => (Some(AF_UNIX), Some(SOCK_STREAM)),
        "UNIX-DGRAM" => (Some(AF_UNIX), Some(2)),
        "UNIX-SEQPACKET" => (Some(AF_UNIX), Some(5)),
        "UNIX" => (Some(AF_UNIX), None),
        "NETLINK" => (Some(AF_NETLINK), None),
        "PACKET" => (Some(17), None),
        _ => (None, None),
    }
}

fn put_address(event: &mut Event, address: Option<(String, u16)>) {
    if let Some((addr, port)) = address {
        (event.addr, event.port) = (Some(addr), Some(port));
    }
}

/// Sets family, address, port or path from a `struct sockaddr` as strace shows it.
fn address(shown: Option<&Arg<'_>>, event: &mut Event) {
    let Some(shown @ Arg::Struct(fields)) = shown else {
        return;
    };
    let family = shown.field("sa_family").and_then(Arg::word);
    let Some(family) = family.and_then(names::family) else {
        return;
    };
    event.family = Some(family);
    let port = ["sin_port", "sin6_port"].into_iter().find_map(|name| {
        let Some(Arg::Of("htons", port)) = shown.field(name) else {
            return None;
        };
        u16::try_from(port.first()?.int()?).ok()
    });
    match family {
        AF_INET | AF_INET6 => {
            // `inet_addr("…")`, or `inet_pton(AF_INET6, "…", &sin6_addr)` without a name.
            let addr = fields.iter().find_map(|(_, value)| {
                let Arg::Of("inet_addr" | "inet_pton", parts) = value else {
                    return None;
                };
                parts.iter().find_map(|part| match part {
                    Arg::Text(text, false) => {
                        std::str::from_utf8(text).ok()?.parse::<IpAddr>().ok()
                    }
                    _ => None,
                })
            });
            event.addr = addr.map(|addr| addr.to_canonical().to_string());
            event.port = port;
        }
        AF_UNIX => match shown.field("sun_path") {
            // An abstract name begins with NUL; it is shown as usual, with an `@`.
            Some(Arg::Text(path, cut)) => {
                let (path, escaped) = match path.split_first() {
                    Some((0, name)) => {
                        let (name, escaped) = text(name);
                        (format!("@{name}"), escaped)
                    }
                    _ => text(path),
                };
                event.path = Some(path);
                event.incomplete.set(Incomplete::PATH_TRUNCATED, *cut);
                if escaped {
                    event.incomplete |= Incomplete::ESCAPED;
                }
            }
            _ => event.path = None,
        },
        _ => {}
    }
}
