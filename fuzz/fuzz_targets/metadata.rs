//! Core metadata, names of files and what users type.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyti_index::metadata::CoreMetadata;
use pyti_index::{DistFilename, Target};

fuzz_target!(|text: &str| {
    let _ = CoreMetadata::parse(text);
    let _ = DistFilename::parse(text, None);
    let _ = Target::parse(text);
});
