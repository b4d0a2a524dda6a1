//! Files of a run, which somebody else may have made.

use std::fs::{File, metadata};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// Opens a file to read it.
///
/// # Errors
/// It is missing or cannot be read, or is no regular file: a pipe would be waited for.
pub fn open_regular(path: &Path) -> Result<File> {
    if metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(Error::new(ErrorKind::InvalidInput, "it is no regular file"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn nothing_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let [pipe, file] = ["pipe", "file"].map(|name| directory.path().join(name));
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        std::fs::write(&file, "text").unwrap();
        for other in [pipe.as_path(), directory.path(), Path::new("/dev/zero")] {
            let refused = open_regular(other).unwrap_err();
            assert_eq!(refused.to_string(), "it is no regular file");
        }
        let missing = open_regular(&directory.path().join("missing"));
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
        let mut text = String::new();
        open_regular(&file)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "text");
    }
}
