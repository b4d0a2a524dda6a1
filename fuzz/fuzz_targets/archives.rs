//! Sdists and wheels. The first byte says which kind the name promised.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use pyti_index::DistKind;
use pyti_index::archive::{Limits, read};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, archive)) = bytes.split_first() else {
        return;
    };
    let kind = [DistKind::SdistTarGz, DistKind::SdistZip, DistKind::Wheel][usize::from(*kind % 3)];
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(archive).expect("a written file");
    let limits = Limits {
        expanded_bytes: 16 << 20,
        text_bytes: 1 << 20,
        ..Limits::default()
    };
    if let Ok(archive) = read(file.path(), kind, &limits, |_| true) {
        assert!(!archive.root().contains('/'), "{}", archive.root());
    }
});
