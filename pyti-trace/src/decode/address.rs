//! Socket addresses (`struct sockaddr_*`, include/uapi/linux/{in,in6,un}.h).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::text::{text, until_nul};
use crate::event::Event;

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Sets family, address, port and path from a `sockaddr`. Too short a one sets what it has.
pub fn apply(event: &mut Event, raw: &[u8]) {
    let Some((family, rest)) = raw.split_first_chunk::<2>() else {
        return;
    };
    let family = u16::from_le_bytes(*family);
    match family {
        AF_INET => {
            if let Some((port, rest)) = rest.split_first_chunk::<2>()
                && let Some(addr) = rest.first_chunk::<4>()
            {
                event.port = Some(u16::from_be_bytes(*port));
                event.addr = Some(Ipv4Addr::from(*addr).to_string());
            }
        }
        AF_INET6 => {
            if let Some((port, rest)) = rest.split_first_chunk::<2>()
                && let Some(addr) = rest.get(4..).and_then(|rest| rest.first_chunk::<16>())
            {
                let addr = Ipv6Addr::from(*addr);
                event.port = Some(u16::from_be_bytes(*port));
                event.addr = Some(match addr.to_ipv4_mapped() {
                    Some(mapped) => mapped.to_string(),
                    None => addr.to_string(),
                });
            }
        }
        AF_UNIX => {
            // An abstract name begins with NUL; it is shown as usual, with an `@`.
            event.path = match rest {
                [] => None,
                [0, name @ ..] => Some(format!("@{}", text(name, &mut event.incomplete))),
                path => Some(text(until_nul(path), &mut event.incomplete)),
            };
        }
        _ => {}
    }
    // AF_UNSPEC dissolves an association: the socket's own family says more.
    if family != 0 || event.family.is_none() {
        event.family = Some(family);
    }
}
