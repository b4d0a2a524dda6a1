//! The probes' records, as they come out of an Events frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyti_trace::decode::decode_all;
use pyti_trace::describe::describe;
use pyti_trace::dns;

fuzz_target!(|bytes: &[u8]| {
    let mut read = 0;
    for event in decode_all(bytes) {
        read += 1;
        if let Ok(event) = event {
            let _ = dns::query(&event);
            let _ = describe(&event);
        }
    }
    assert!(
        read <= bytes.len() / 8 + 1,
        "{read} records in {} bytes",
        bytes.len()
    );
});
