//! The files of a source distribution that say how it is tested. The first byte says which of them it is.
#![no_main]

use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use pyti::stage::{PythonVersion, TestPlan, test_plan};
use pyti_index::{CoreMetadata, Fetched, WheelhouseFile, check_requirement};

const FILES: [&str; 14] = [
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "tox.ini",
    "tox.toml",
    "pytest.ini",
    "pytest.toml",
    "noxfile.py",
    "hatch.toml",
    "unittest.cfg",
    "nose2.cfg",
    "manage.py",
    "runtests.py",
    "requirements-test.txt",
];

/// Requirements that are kept, and words of a command. What frameworks themselves require comes besides.
const MOST: usize = 500;
const OF_FRAMEWORKS: usize = 16;
/// Notes that are kept. One more says how many are not.
const MOST_NOTES: usize = 50;
/// Characters that are kept of what quotes a file.
const LONGEST: usize = 200;

static METADATA: LazyLock<CoreMetadata> = LazyLock::new(|| {
    let text = "Metadata-Version: 2.1\nName: x\nVersion: 1.0\nProvides-Extra: test\nRequires-Dist: y; extra == 'test'\n";
    CoreMetadata::parse(text).expect("core metadata")
});

/// A plan is bounded, and what it quotes drives no terminal.
fn is_sound(plan: &TestPlan) {
    assert!(plan.wanted.len() <= MOST + OF_FRAMEWORKS, "{plan:?}");
    for run in std::iter::once(&plan.first).chain(&plan.further) {
        assert!(run.arguments.len() <= MOST, "{run:?}");
    }
    assert!(plan.notes.len() <= MOST_NOTES + 1, "{plan:?}");
    let quoting = [&plan.reason, &plan.first.name].into_iter();
    let quoting = quoting.chain(&plan.seen).chain(&plan.wanted_by);
    for text in quoting.chain(&plan.notes) {
        let short = text.chars().count() <= LONGEST;
        assert!(short && !text.contains(char::is_control), "{text:?}");
    }
    for text in plan.needed.iter().chain(&plan.wanted) {
        // The resolver reads a list of them, one in each line.
        if let Ok(text) = check_requirement(text) {
            assert!(!text.contains(['\n', '\r']), "{text:?}");
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, text)) = bytes.split_first() else {
        return;
    };
    let name = FILES[usize::from(*which) % FILES.len()];
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut tar = tar::Builder::new(GzEncoder::new(file.as_file(), Compression::none()));
    for (path, content) in [(name, text), ("tests/test_x.py", &b"import unittest\n"[..])] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, format!("x-1.0/{path}"), content)
            .expect("a written member");
    }
    let packed = tar.into_inner().and_then(GzEncoder::finish);
    packed.expect("a written archive");
    let fetched = Fetched {
        file: WheelhouseFile {
            filename: "x-1.0.tar.gz".to_owned(),
            path: file.path().to_owned(),
            sha256: String::new(),
            bytes: 0,
        },
        extras: vec![],
        yanked: false,
        from_index: false,
        packed: false,
    };
    for (major, minor) in [(3, 13), (2, 7)] {
        let python = PythonVersion { major, minor };
        if let Ok(plan) = test_plan(&fetched, &METADATA, python, None) {
            is_sound(&plan);
        }
    }
});
