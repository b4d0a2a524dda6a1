//! What a user has set for pip: its configuration file and, behind a NUL, the passwords in `~/.netrc`.
#![no_main]

use std::env;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pyti_index::IndexConfig;
use tempfile::TempDir;

/// A home with nothing else in it; nothing is set elsewhere.
static HOME: LazyLock<TempDir> = LazyLock::new(|| {
    let home = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(home.path().join(".config/pip")).expect("a directory");
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let begins = ["PIP_", "UV_", "XDG_"]
            .iter()
            .any(|begin| text.starts_with(begin));
        if begins || ["VIRTUAL_ENV", "NETRC"].contains(&&*text) {
            // SAFETY: nothing has asked for a variable yet, and no other thread of ours runs.
            unsafe { env::remove_var(&name) };
        }
    }
    // SAFETY: see above.
    unsafe { env::set_var("HOME", home.path()) };
    home
});

fuzz_target!(|text: &str| {
    let (settings, passwords) = text.split_once('\0').unwrap_or((text, ""));
    let home = HOME.path();
    for (file, text) in [(".config/pip/pip.conf", settings), (".netrc", passwords)] {
        std::fs::write(home.join(file), text).expect("a written file");
    }
    if let Ok(indexes) = IndexConfig::discover(None, &[]) {
        assert!(!indexes.shown().contains('\n'), "{}", indexes.shown());
    }
});
