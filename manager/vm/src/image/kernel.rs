//! Takes the kernel and the needed modules out of the kernel package.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufReader, Read},
    path::Path,
};

use crate::{VmError, home};

/// Largest module or kernel that is believed, bytes.
const FILE_LIMIT: u64 = 64 << 20;

/// What was found.
pub(super) struct Kernel {
    /// As in `uname -r`.
    pub version: String,
    /// Files in `modules/`, in load order.
    pub modules: Vec<String>,
}

/// Writes `vmlinuz` and `modules/*.ko` (unpacked) to `target`.
pub(super) fn extract(archive: &Path, target: &Path, wanted: &[String]) -> Result<Kernel, VmError> {
    let mut version = None;
    let mut packed = BTreeMap::new();
    let read = || VmError::io(format!("read {}", archive.display()));
    let mut tar = tar::Archive::new(BufReader::new(home::open(archive)?));
    for entry in tar.entries().map_err(read())? {
        let entry = entry.map_err(read())?;
        let path = entry.path().map_err(read())?.into_owned();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let keep = name.strip_prefix("vmlinuz-").map(str::to_owned);
        if keep.is_none() && !name.contains(".ko") {
            continue;
        }
        let mut bytes = Vec::new();
        entry
            .take(FILE_LIMIT)
            .read_to_end(&mut bytes)
            .map_err(read())?;
        if let Some(found) = keep {
            home::write(&target.join("vmlinuz"), &bytes)?;
            version = Some(found);
        } else if let Some((stem, extension)) = name.split_once('.') {
            // The kernel takes `-` and `_` in names of modules for the same.
            packed.insert(stem.replace('-', "_"), (extension.to_owned(), bytes));
        }
    }
    let version = version.ok_or_else(|| damaged("it holds no vmlinuz".into()))?;

    fs::create_dir(target.join("modules")).map_err(VmError::io("make modules/"))?;
    let mut modules = Vec::new();
    for name in wanted {
        load_after_dependencies(name, &packed, &target.join("modules"), &mut modules)?;
    }
    Ok(Kernel { version, modules })
}

/// Depth first: what a module depends on comes before it.
fn load_after_dependencies(
    name: &str,
    packed: &BTreeMap<String, (String, Vec<u8>)>,
    target: &Path,
    order: &mut Vec<String>,
) -> Result<(), VmError> {
    let name = name.replace('-', "_");
    let file = format!("{name}.ko");
    if order.contains(&file) {
        return Ok(());
    }
    let (extension, bytes) = packed
        .get(&name)
        .ok_or_else(|| damaged(format!("it holds no module {name}")))?;
    let module =
        unpack(extension, bytes).map_err(|reason| damaged(format!("module {name}: {reason}")))?;
    for dependency in dependencies(&module) {
        load_after_dependencies(&dependency, packed, target, order)?;
    }
    home::write(&target.join(&file), &module)?;
    order.push(file);
    Ok(())
}

fn unpack(extension: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    match extension {
        "ko" => Ok(bytes.to_vec()),
        "ko.xz" => {
            let mut out = Vec::new();
            lzma_rs::xz_decompress(&mut &bytes[..], &mut out).map_err(|error| error.to_string())?;
            Ok(out)
        }
        other => Err(format!("compressed in an unknown way ({other})")),
    }
}

/// The `depends=` entry of the module's `.modinfo` section: names with commas between, ended by a
/// zero byte (scripts/mod/modpost.c, `add_depends`).
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = module[at + KEY.len()..]
        .split(|&byte| byte == 0)
        .next()
        .unwrap_or_default();
    let value = String::from_utf8_lossy(value);
    value
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn damaged(reason: String) -> VmError {
    VmError::Damaged {
        what: "the kernel package".into(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn archive(files: &[(&str, &[u8])], path: &Path) {
        let mut tar = tar::Builder::new(File::create(path).unwrap());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, *bytes).unwrap();
        }
        tar.finish().unwrap();
    }

    #[test]
    fn modules_come_after_what_they_depend_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kernel.tar");
        let mut packed = Vec::new();
        lzma_rs::xz_compress(&mut &b"elf\0depends=lib-b,lib_c\0"[..], &mut packed).unwrap();
        archive(
            &[
                ("boot/vmlinuz-6.12.1-cloud", b"kernel"),
                ("usr/lib/modules/6.12.1-cloud/kernel/fs/a.ko.xz", &packed),
                (
                    "usr/lib/modules/6.12.1-cloud/kernel/lib/lib_c.ko",
                    b"\0depends=\0",
                ),
                (
                    "usr/lib/modules/6.12.1-cloud/kernel/lib/lib-b.ko",
                    b"\0depends=lib_c\0",
                ),
            ],
            &path,
        );
        let kernel = extract(&path, directory.path(), &["a".into()]).unwrap();
        assert_eq!(kernel.version, "6.12.1-cloud");
        assert_eq!(kernel.modules, ["lib_c.ko", "lib_b.ko", "a.ko"]);
        let module = std::fs::read(directory.path().join("modules/a.ko")).unwrap();
        assert_eq!(module, b"elf\0depends=lib-b,lib_c\0");
    }

    #[test]
    fn a_missing_module_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kernel.tar");
        archive(&[("boot/vmlinuz-6", b"kernel")], &path);
        let error = extract(&path, directory.path(), &["erofs".into()])
            .err()
            .unwrap();
        assert!(error.to_string().contains("no module erofs"), "{error}");
    }
}
