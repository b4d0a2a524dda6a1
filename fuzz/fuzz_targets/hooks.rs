//! What comes back from the VM where a build back end was asked for metadata: pip's report and, behind a
//! NUL, the entry points that were kept beside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyti::metadata_hook::read_back;
use pyti_index::CoreMetadata;

/// Characters that are kept of why something is not known.
const LONGEST: usize = 100;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let report = parts.next().unwrap_or_default();
    let (text, made) = read_back(report, parts.next().unwrap_or_default());
    if let Ok(text) = text {
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n'),
            "{text:?}"
        );
        // The package chose the values: none of them is a field.
        for field in ["Metadata-Version: ", "Name: ", "Version: "] {
            let lines = text.lines().filter(|line| line.starts_with(field));
            assert_eq!(lines.count(), 1, "{text:?}");
        }
        let _ = CoreMetadata::parse(&text);
    }
    if let Err(reason) = made {
        let short = reason.chars().count() <= LONGEST;
        assert!(short && !reason.contains(char::is_control), "{reason:?}");
    }
});
