//! Doing things unseen or under another name, and attacking what watches: each is on record as what it
//! was, or the record says that it does not know. `programs/evasions.c` and `programs/attacks.c` try all
//! of them in one clone and say what they really did.

mod agent;
mod disguises;

use std::fmt::Display;

use pyti_tests::guest::{self, Ran};
use pyti_trace::event::{Event, Kind};

const EVASIONS: &str = include_str!("../../../../programs/evasions.c");
const ATTACKS: &str = include_str!("../../../../programs/attacks.c");

/// What a program says of a step.
struct Said<'a> {
    step: &'a str,
    result: i64,
    /// An inode, or another number.
    number: u64,
    text: &'a str,
}

impl Said<'_> {
    fn parse(line: &str) -> Option<Said<'_>> {
        let words: Vec<&str> = line.split(' ').collect();
        let [step, result, number, text] = words[..] else {
            return None;
        };
        Some(Said {
            step,
            result: result.parse().ok()?,
            number: number.parse().ok()?,
            text,
        })
    }

    /// The text that stands in hexadecimal, as the record has it: what is not UTF-8 as `\xNN`.
    fn name(&self) -> String {
        let digits = self.text.as_bytes().chunks_exact(2);
        let bytes: Vec<u8> = digits
            .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        escaped(&bytes)
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The record, what was said, and what of it does not fit.
struct Case<'a> {
    ran: &'a Ran,
    said: Vec<Said<'a>>,
    wrong: Vec<String>,
}

impl<'a> Case<'a> {
    fn new(ran: &'a Ran) -> Self {
        Self {
            ran,
            said: ran.said.lines().filter_map(Said::parse).collect(),
            wrong: vec![],
        }
    }

    fn check(&mut self, right: bool, what: impl Display) {
        if !right {
            self.wrong.push(what.to_string());
        }
    }

    /// The one line of a step.
    fn said(&mut self, step: &str) -> (i64, u64, String) {
        let found: Vec<&Said<'_>> = self.said.iter().filter(|said| said.step == step).collect();
        if let [said] = found[..] {
            return (said.result, said.number, said.text.to_owned());
        }
        let count = found.len();
        self.wrong.push(format!("{step} was said {count} times"));
        (0, 0, String::new())
    }

    /// What threads of this name did, of this kind.
    fn by(&self, step: &str, kind: Kind) -> Vec<&'a Event> {
        let by = |event: &&Event| event.comm == step && event.kind == kind;
        self.ran.events.iter().filter(by).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_evasions_are_on_record() {
    let sources = [("attacks", ATTACKS), ("evasions", EVASIONS)];
    let command = "/tmp/run-attacks && exec /tmp/run-evasions";
    let spec = guest::stage(&sources, command).expect("no order");
    let ran = guest::run(&spec).await.expect("the programs did not run");
    let mut case = Case::new(&ran);
    let ends = case.said.iter().filter(|said| said.step == "end").count();
    case.check(ends == 2, "a program did not come to its end");
    for group in agent::GROUPS.iter().chain(disguises::GROUPS) {
        group(&mut case);
    }
    assert!(case.wrong.is_empty(), "{:#?}", case.wrong);
}
