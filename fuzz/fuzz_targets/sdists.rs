//! What is read of a source distribution without running it. Its files are apart by a NUL.
#![no_main]

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use pyti_index::fuzzing::{document, examine};
use pyti_index::{CoreMetadata, DistKind, check_requirement};

const FILES: [&str; 7] = [
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "PKG-INFO",
    "a.egg-info/requires.txt",
    "a.egg-info/setup_requires.txt",
    "a.egg-info/entry_points.txt",
];
/// Requirements of a setup.py, people, addresses and keywords that are kept, of each.
const MOST: usize = 50;
/// Entry points that are kept.
const MOST_POINTS: usize = 5000;
/// Characters that are kept of one of all these but requirements.
const LONGEST: usize = 500;
/// Fields that a document may have to be read again.
const MOST_FIELDS: usize = 9000;

/// What the resolver is given has these requirements and nothing else.
fn is_offered(metadata: &CoreMetadata) {
    let (name, version) = ("a", "1");
    let (text, left_out) = document(
        &name.parse().expect("a name"),
        &version.parse().expect("a version"),
        metadata,
    );
    let strange = |c: char| c.is_control() && !['\n', '\t'].contains(&c);
    assert!(!text.contains(strange), "{text:?}");
    let requires = metadata.requires_dist.len();
    if requires + metadata.provides_extra.len() > MOST_FIELDS {
        return;
    }
    let again = CoreMetadata::parse(&text).expect("core metadata");
    let extras = again.provides_extra.len();
    assert!(extras <= metadata.provides_extra.len());
    assert_eq!(again.requires_dist.len() + left_out.len(), requires);
    let lines = text.lines().count();
    let python = usize::from(again.requires_python.is_some());
    assert_eq!(lines, 3 + python + extras + again.requires_dist.len());
    assert_eq!((&*again.name, &*again.version), (name, version));
}

fuzz_target!(|text: &str| {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut tar = tar::Builder::new(GzEncoder::new(file.as_file(), Compression::none()));
    for (path, content) in FILES.into_iter().zip(text.split('\0')) {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, format!("a-1/{path}"), content.as_bytes())
            .expect("a written member");
    }
    let packed = tar.into_inner().and_then(GzEncoder::finish);
    packed.expect("a written archive");
    let Ok((source, asked)) = examine(file.path(), DistKind::SdistTarGz) else {
        return;
    };
    assert!(asked.len() <= MOST, "{asked:?}");
    assert!(asked.is_sorted_by(|a, b| a < b), "{asked:?}");
    for text in source.build_requires.iter().chain(&asked) {
        // The resolver reads a list of them, one in each line.
        if let Ok(text) = check_requirement(text) {
            assert!(!text.contains(['\n', '\r']), "{text:?}");
        }
    }
    if let Some(points) = &source.entry_points {
        let all = points.values().flatten();
        assert!(all.clone().count() <= MOST_POINTS);
        let short = |text: &String| text.chars().count() <= LONGEST;
        assert!(points.keys().all(short));
        assert!(all.clone().all(|(name, value)| short(name) && short(value)));
    }
    if let Some(metadata) = &source.metadata {
        for texts in [&metadata.people, &metadata.urls, &metadata.keywords] {
            let short = |text: &String| text.chars().count() <= LONGEST;
            assert!(texts.len() <= MOST && texts.iter().all(short), "{texts:?}");
        }
        is_offered(metadata);
    }
});
