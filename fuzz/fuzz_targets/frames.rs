//! The stream from the agent, once a package may have taken its machine over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyti_trace::wire::{FileChunk, FrameKind, read_frame};

fuzz_target!(|bytes: &[u8]| {
    let mut input = bytes;
    while let Ok(Some(frame)) = read_frame(&mut input) {
        if frame.kind == FrameKind::File
            && let Some(chunk) = FileChunk::decode(&frame.payload)
        {
            // A flag that is neither 0 nor 1 is set.
            assert_eq!(FileChunk::decode(&chunk.encode()), Some(chunk));
        }
    }
});
