//! The name that a message to a name server asks for, as rules ask for it.

use pyti_trace::dns;
use pyti_trace::event::{Event, Incomplete};

use super::value::Value;

/// `SOCK_STREAM`: a message has two bytes before it, its length (RFC 1035, 4.2.2).
const STREAM: u16 = 1;

/// The name that is asked for. Absent where what is on record can be no question, whatever comes behind it.
pub(super) fn query(event: &Event) -> Value<'_> {
    match dns::query(event) {
        Some(query) => Value::Text(query.name.into(), query.whole),
        None if may_be_question(event) => Value::Unknown,
        None => Value::Absent,
    }
}

/// Whether a message is cut before its name, and a question where the rest is that of one.
fn may_be_question(event: &Event) -> bool {
    if !event.incomplete.contains(Incomplete::DATA_INCOMPLETE) {
        return false;
    }
    let length: &[u8] = if event.socktype == Some(STREAM) {
        &[0, 0]
    } else {
        &[]
    };
    let question = [length, &*dns::message("a")].concat();
    let known = event.data.as_deref().unwrap_or_default();
    // Where so much is on record, the name is.
    let Some(rest) = question.get(known.len()..) else {
        return false;
    };
    let whole = Event {
        data: Some([known, rest].concat()),
        // To where is unknown too, where nothing tells.
        port: event.port.or(Some(53)),
        ..event.clone()
    };
    dns::query(&whole).is_some()
}
