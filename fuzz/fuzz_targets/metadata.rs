//! Core metadata, entry points, and names of files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyti_index::metadata::CoreMetadata;
use pyti_index::{DistFilename, entry_points};

/// People, addresses and keywords that are kept, of each.
const MOST: usize = 50;
/// Entry points that are kept.
const MOST_POINTS: usize = 5000;
/// Characters that are kept of one of all these.
const LONGEST: usize = 500;

fn is_short(text: &String) -> bool {
    text.chars().count() <= LONGEST
}

fuzz_target!(|text: &str| {
    if let Ok(metadata) = CoreMetadata::parse(text) {
        assert!(!metadata.name.is_empty() && !metadata.metadata_version.is_empty());
        assert!(metadata.description.iter().all(is_short));
        for texts in [&metadata.people, &metadata.urls, &metadata.keywords] {
            assert!(texts.len() <= MOST, "{texts:?}");
            assert!(texts.iter().all(is_short), "{texts:?}");
        }
    }
    if let Some(points) = entry_points::parse(text) {
        let all = points.values().flatten();
        assert!(all.clone().count() <= MOST_POINTS);
        assert!(points.keys().all(is_short));
        assert!(
            all.clone()
                .all(|(name, value)| is_short(name) && is_short(value))
        );
    }
    if let Ok(file) = DistFilename::parse(text, None) {
        assert_eq!(file.as_str(), text);
        // It is the same file where it is known whose it is.
        let again = DistFilename::parse(text, Some(file.name()));
        assert_eq!(again.as_ref(), Ok(&file));
    }
});
