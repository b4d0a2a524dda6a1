//! Traces of strace, which whoever hands them in may have written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyti_analyzer::strace::{Limits, read};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(trace) = read(bytes, Limits::default()) {
        assert!(trace.events.is_sorted_by(|a, b| a.time_ns < b.time_ns));
        let mut events = trace.events.iter();
        assert!(events.all(|event| event.since_ns.is_none_or(|since| since <= event.time_ns)));
    }
});
