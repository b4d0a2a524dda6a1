//! Core metadata, entry points, requirements, names of files and what users type.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyti_index::metadata::CoreMetadata;
use pyti_index::{DistFilename, Target, check_requirement, entry_points};

fuzz_target!(|text: &str| {
    let _ = CoreMetadata::parse(text);
    let _ = entry_points::parse(text);
    let _ = DistFilename::parse(text, None);
    // The resolver reads a list of them, one in each line.
    if let Ok(requirement) = check_requirement(text) {
        assert!(!requirement.contains(['\n', '\r']), "{requirement:?}");
    }
    let _ = Target::parse(text);
});
