//! The probes' records, as they come out of an Events frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyti_trace::decode::decode_all;

fuzz_target!(|bytes: &[u8]| {
    let read = decode_all(bytes).count();
    assert!(read <= bytes.len() / 8 + 1, "{read} records in {} bytes", bytes.len());
});
