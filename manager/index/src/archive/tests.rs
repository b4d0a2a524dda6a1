//! Good, broken and dangerous archives, made here.

use std::io::{Cursor, Read, Write};
use std::time::{Duration, Instant};

use flate2::{Compression, write::GzEncoder};
use tar::{EntryType, Header};
use zip::write::SimpleFileOptions;

use super::*;

/// How long a refusal may take, on a busy machine without optimisation.
const QUICK: Duration = Duration::from_secs(30);

fn header(path: &str, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    // The library's own setter would refuse the paths that matter here.
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

fn link(path: &str, kind: EntryType, target: &str) -> Header {
    let mut header = header(path, kind, 0);
    header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    header
}

fn gzip(fill: impl FnOnce(&mut tar::Builder<GzEncoder<Vec<u8>>>)) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    fill(&mut tar);
    tar.into_inner().unwrap().finish().unwrap()
}

fn tarball(entries: &[(Header, &[u8])]) -> Vec<u8> {
    gzip(|tar| {
        for (header, content) in entries {
            tar.append(header, *content).unwrap();
        }
    })
}

fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn read_with(bytes: &[u8], kind: DistKind, limits: &Limits) -> Result<Archive, ArchiveError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let began = Instant::now();
    let result = read(file.path(), kind, limits, |path| path.ends_with("PKG-INFO"));
    assert!(began.elapsed() < QUICK, "took {:?}", began.elapsed());
    result
}

fn refusal(bytes: &[u8], kind: DistKind) -> String {
    match read_with(bytes, kind, &Limits::default()) {
        Ok(archive) => panic!("accepted: {:?}", archive.members.first()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn members_and_texts_are_read() {
    let info = header("a-1/PKG-INFO", EntryType::Regular, 4);
    let tar = tarball(&[
        (header("a-1/", EntryType::Directory, 0), b""),
        (info, b"text"),
        (
            link("a-1/docs/link", EntryType::Symlink, "../PKG-INFO"),
            b"",
        ),
    ]);
    let archive = read_with(&tar, DistKind::SdistTarGz, &Limits::default()).unwrap();
    assert_eq!(
        (archive.root(), archive.text("PKG-INFO").as_deref()),
        ("a-1", Some("text"))
    );
    assert_eq!(
        archive.members[2].kind,
        MemberKind::Symlink("../PKG-INFO".to_owned())
    );

    let zip = zipped(&[("a-1/PKG-INFO", b"text"), ("a-1/a.py", b"1")]);
    let archive = read_with(&zip, DistKind::SdistZip, &Limits::default()).unwrap();
    assert_eq!(
        (archive.root(), archive.text("PKG-INFO").as_deref()),
        ("a-1", Some("text"))
    );
}

#[test]
fn long_names_are_followed() {
    let long = format!("a-1/{}/PKG-INFO", "d".repeat(150));
    let tar = gzip(|tar| {
        let mut header = Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        tar.append_data(&mut header, &long, &b"x"[..]).unwrap();
        tar.append_pax_extensions([("path", b"a-1/pax/PKG-INFO".as_slice())])
            .unwrap();
        tar.append(&self::header("short", EntryType::Regular, 1), &b"y"[..])
            .unwrap();
    });
    let archive = read_with(&tar, DistKind::SdistTarGz, &Limits::default()).unwrap();
    let paths: Vec<&str> = archive
        .members
        .iter()
        .map(|member| member.path.as_str())
        .collect();
    assert_eq!(paths, [long.as_str(), "a-1/pax/PKG-INFO"]);
}

#[test]
fn broken_archives_are_named_so() {
    let noise: Vec<u8> = (0..200_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let tar = tarball(&[(
        header("a-1/x", EntryType::Regular, noise.len() as u64),
        &noise,
    )]);
    let zip = zipped(&[("a-1/PKG-INFO", &noise), ("a-1/x", &noise)]);
    for length in [0, 5, tar.len() / 2, tar.len() - 4] {
        let message = refusal(&tar[..length], DistKind::SdistTarGz);
        assert!(message.contains("truncated"), "{length}: {message}");
    }
    for length in [zip.len() / 2, zip.len() - 30] {
        let message = refusal(&zip[..length], DistKind::Wheel);
        assert!(message.contains("truncated"), "{length}: {message}");
    }
    let mut corrupt = tar.clone();
    let middle = corrupt.len() / 2;
    corrupt[middle..middle + 64].fill(0xff);
    assert!(refusal(&corrupt, DistKind::SdistTarGz).contains("corrupt"));
    let mut corrupt = zip.clone();
    corrupt[1000..1064].fill(0xff);
    assert!(refusal(&corrupt, DistKind::Wheel).contains("corrupt"));
    assert!(refusal(b"no archive at all", DistKind::SdistTarGz).contains("corrupt"));
    assert!(refusal(b"no archive at all", DistKind::Wheel).contains("corrupt"));
    assert!(refusal(&gzip(|_| ()), DistKind::SdistTarGz).contains("no members"));
}

#[test]
fn paths_that_lead_out_are_refused() {
    for (path, reason) in [
        ("../evil", "'..'"),
        ("a-1/../../evil", "'..'"),
        ("a-1\\..\\..\\evil", "'..'"),
        ("/etc/passwd", "absolute"),
        ("C:\\evil", "absolute"),
    ] {
        let tar = tarball(&[(header(path, EntryType::Regular, 1), b"x")]);
        let message = refusal(&tar, DistKind::SdistTarGz);
        assert!(message.contains(reason), "{path}: {message}");
        let message = refusal(&zipped(&[(path, b"x")]), DistKind::Wheel);
        assert!(message.contains(reason), "{path}: {message}");
    }
}

#[test]
fn paths_beyond_the_limits_are_refused() {
    let deep = "d/".repeat(65) + "f";
    let long = "d".repeat(1025);
    assert!(refusal(&zipped(&[(&deep, b"x")]), DistKind::Wheel).contains("deeper"));
    assert!(refusal(&zipped(&[(&long, b"x")]), DistKind::Wheel).contains("longer"));
}

#[test]
fn links_that_lead_out_are_refused() {
    for (path, kind, target) in [
        ("a-1/l", EntryType::Symlink, "/etc/passwd"),
        ("a-1/l", EntryType::Symlink, "../../etc/passwd"),
        ("a-1/l", EntryType::Link, "../etc/passwd"),
        ("a-1/l", EntryType::Link, "/etc/passwd"),
        ("a-1/l", EntryType::Symlink, ""),
    ] {
        let message = refusal(
            &tarball(&[(link(path, kind, target), b"")]),
            DistKind::SdistTarGz,
        );
        assert!(message.contains("leads out"), "{target:?}: {message}");
    }
    let beyond = tarball(&[
        (link("a-1/l", EntryType::Symlink, "."), b""),
        (header("a-1/l/f", EntryType::Regular, 1), b"x"),
    ]);
    assert!(refusal(&beyond, DistKind::SdistTarGz).contains("beyond a symbolic link"));
    let around = tarball(&[
        (link("a-1/l", EntryType::Symlink, "."), b""),
        (link("a-1/m", EntryType::Symlink, "l/../.."), b""),
    ]);
    assert!(refusal(&around, DistKind::SdistTarGz).contains("leads out"));
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_symlink("a/l", "../../etc/passwd", SimpleFileOptions::default())
        .unwrap();
    let zip = zip.finish().unwrap().into_inner();
    assert!(refusal(&zip, DistKind::Wheel).contains("leads out"));
}

#[test]
fn devices_and_doubles_are_refused() {
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo] {
        let message = refusal(
            &tarball(&[(header("a-1/d", kind, 0), b"")]),
            DistKind::SdistTarGz,
        );
        assert!(message.contains("is a "), "{message}");
    }
    let info = || header("a-1/PKG-INFO", EntryType::Regular, 1);
    let double = tarball(&[(info(), b"x"), (info(), b"y")]);
    assert!(refusal(&double, DistKind::SdistTarGz).contains("twice"));
    // The writer refuses doubles, so one of two names is changed afterwards, in both places.
    let mut zip = zipped(&[("a/PKG-INFO", b"x"), ("a/PKG-INFP", b"y")]);
    for at in 0..zip.len() - 10 {
        if &zip[at..at + 10] == b"a/PKG-INFP" {
            zip[at + 9] = b'O';
        }
    }
    assert!(refusal(&zip, DistKind::Wheel).contains("same name"));
}

#[test]
fn encrypted_members_are_refused() {
    let mut zip = zipped(&[("a/PKG-INFO", b"x")]);
    let central = zip
        .windows(4)
        .position(|four| four == b"PK\x01\x02")
        .unwrap();
    zip[central + 8] |= 1;
    assert!(refusal(&zip, DistKind::Wheel).contains("encrypted"));
}

#[test]
fn extension_headers_that_confuse_are_refused() {
    for (key, reason) in [("size", "overrides"), ("GNU.sparse.major", "sparse")] {
        let tar = gzip(|tar| {
            tar.append_pax_extensions([(key, b"1".as_slice())]).unwrap();
            tar.append(&header("a-1/x", EntryType::Regular, 1), &b"x"[..])
                .unwrap();
        });
        let message = refusal(&tar, DistKind::SdistTarGz);
        assert!(message.contains(reason), "{message}");
    }
    let hidden = gzip(|tar| {
        let value = b"a-1/x\n13 path=../e\n".as_slice();
        tar.append_pax_extensions([("comment", value)]).unwrap();
        tar.append(&header("a-1/x", EntryType::Regular, 1), &b"x"[..])
            .unwrap();
    });
    let archive = read_with(&hidden, DistKind::SdistTarGz, &Limits::default()).unwrap();
    assert_eq!(archive.members[0].path, "a-1/x");
    let huge = gzip(|tar| {
        let size = 1 << 20;
        let content = std::io::repeat(b'a').take(size);
        tar.append(&header("x", EntryType::XHeader, size), content)
            .unwrap();
    });
    assert!(refusal(&huge, DistKind::SdistTarGz).contains("extension header"));
}

#[test]
fn a_tar_bomb_ends_early() {
    // Says and holds a gibibyte of nothing, in about a mebibyte.
    let size = 1 << 30;
    let bomb = gzip(|tar| {
        let zeros = std::io::repeat(0).take(size);
        tar.append(&header("a-1/zeros", EntryType::Regular, size), zeros)
            .unwrap();
    });
    assert!(refusal(&bomb, DistKind::SdistTarGz).contains("bomb"));
}

#[test]
fn a_tar_bomb_after_the_end_is_noticed() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    let entry = header("a-1/x", EntryType::Regular, 0);
    gzip.write_all(entry.as_bytes()).unwrap();
    std::io::copy(&mut std::io::repeat(0).take(1 << 28), &mut gzip).unwrap();
    assert!(refusal(&gzip.finish().unwrap(), DistKind::SdistTarGz).contains("bomb"));
}

#[test]
fn a_billion_fold_zip_bomb_ends_early() {
    // A few hundred bytes whose directory declares 4 GiB for each member.
    let names: Vec<String> = (0..20).map(|number| format!("a/{number:02}")).collect();
    let entries: Vec<(&str, &[u8])> = names
        .iter()
        .map(|name| (name.as_str(), &b"x"[..]))
        .collect();
    let mut zip = zipped(&entries);
    let mut at = 0;
    while let Some(found) = zip[at..].windows(4).position(|four| four == b"PK\x01\x02") {
        zip[at + found + 24..at + found + 28].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
        at += found + 4;
    }
    let message = refusal(&zip, DistKind::Wheel);
    assert!(
        message.contains("bomb") || message.contains("bytes"),
        "{message}"
    );
}

#[test]
fn overlapping_zip_members_are_refused() {
    let names: Vec<String> = (0..50).map(|number| format!("a/{number:02}")).collect();
    let content = [7; 1000];
    let mut entries: Vec<(&str, &[u8])> = vec![("a/content", &content)];
    entries.extend(names.iter().map(|name| (name.as_str(), &b""[..])));
    let mut zip = zipped(&entries);
    let mut at = 0;
    while let Some(found) = zip[at..].windows(4).position(|four| four == b"PK\x01\x02") {
        let central = at + found;
        zip[central + 20..central + 24].copy_from_slice(&2000_u32.to_le_bytes());
        at = central + 4;
    }
    assert!(refusal(&zip, DistKind::Wheel).contains("overlap"));
}

#[test]
fn a_million_members_end_early() {
    let tar = gzip(|tar| {
        let header = header("a-1/x", EntryType::Regular, 0);
        for _ in 0..1_000_000 {
            tar.append(&header, std::io::empty()).unwrap();
        }
    });
    let message = refusal(&tar, DistKind::SdistTarGz);
    assert!(
        message.contains("members") || message.contains("bomb"),
        "{message}"
    );

    // A directory of a million records, written by hand (APPNOTE.TXT 4.3.12), and an end record
    // that says so by Zip64, or that lies.
    for declared in [0xffff_u16, 1] {
        let mut zip = Vec::new();
        for number in 0..1_000_000_u32 {
            zip.extend_from_slice(b"PK\x01\x02");
            zip.extend_from_slice(&[0; 24]);
            zip.extend_from_slice(&7_u16.to_le_bytes());
            zip.extend_from_slice(&[0; 16]);
            zip.extend_from_slice(format!("{number:07}").as_bytes());
        }
        let length = u32::try_from(zip.len()).unwrap();
        if declared == 0xffff {
            let record = u64::from(length);
            zip.extend_from_slice(b"PK\x06\x06");
            for field in [44_u64, 0, 0, 1_000_000] {
                let bytes = field.to_le_bytes();
                zip.extend_from_slice(if field == 0 { &bytes[..6] } else { &bytes });
            }
            zip.extend_from_slice(&1_000_000_u64.to_le_bytes());
            zip.extend_from_slice(&u64::from(length).to_le_bytes());
            zip.extend_from_slice(&0_u64.to_le_bytes());
            zip.extend_from_slice(b"PK\x06\x07\0\0\0\0");
            zip.extend_from_slice(&record.to_le_bytes());
            zip.extend_from_slice(&1_u32.to_le_bytes());
        }
        zip.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        zip.extend_from_slice(&declared.to_le_bytes());
        zip.extend_from_slice(&declared.to_le_bytes());
        zip.extend_from_slice(&length.to_le_bytes());
        zip.extend_from_slice(&[0; 6]);
        let message = refusal(&zip, DistKind::Wheel);
        let reason = if declared == 1 {
            "not of the length it says"
        } else {
            "100000 members"
        };
        assert!(message.contains(reason), "{declared}: {message}");
    }
}

#[test]
fn limits_can_be_tightened() {
    let tar = tarball(&[(
        header("a-1/PKG-INFO", EntryType::Regular, 10),
        b"0123456789",
    )]);
    let small = Limits {
        text_bytes: 9,
        ..Limits::default()
    };
    let message = read_with(&tar, DistKind::SdistTarGz, &small)
        .unwrap_err()
        .to_string();
    assert!(message.contains("larger than the limit"), "{message}");
    let small = Limits {
        file_bytes: 9,
        ..Limits::default()
    };
    assert!(read_with(&tar, DistKind::SdistTarGz, &small).is_err());
    let small = Limits {
        members: 0,
        ..Limits::default()
    };
    assert!(read_with(&tar, DistKind::SdistTarGz, &small).is_err());
}

#[test]
fn texts_that_are_kept_are_bounded_in_all() {
    let ten: &[u8] = b"0123456789";
    let entry = |path| (header(path, EntryType::Regular, 10), ten);
    let tar = tarball(&[entry("a-1/PKG-INFO"), entry("a-1/b/PKG-INFO")]);
    let zip = zipped(&[("a-1/PKG-INFO", ten), ("a-1/b/PKG-INFO", ten)]);
    for (archive, kind) in [(tar, DistKind::SdistTarGz), (zip, DistKind::SdistZip)] {
        let within = |kept_bytes| Limits {
            kept_bytes,
            ..Limits::default()
        };
        assert!(read_with(&archive, kind, &within(20)).is_ok());
        let message = read_with(&archive, kind, &within(19)).unwrap_err();
        assert!(message.to_string().contains("more than 19 bytes"));
    }
}
