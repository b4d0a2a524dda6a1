//! A system call: its name, arguments and result.

use super::arg::{Arg, ArgError, Cursor, Shown};
use super::names::errno;

/// A call, whether it returned or not.
#[derive(Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// The system call.
    pub name: &'a str,
    /// Its arguments.
    pub args: Vec<Arg<'a>>,
    /// 0 or positive, or a negative errno; `None` where it did not return, or will be restarted.
    pub result: Option<i64>,
    /// What stands for a descriptor that it returned.
    pub shown: Option<Shown>,
}

impl<'a> Call<'a> {
    /// The argument at `index`.
    pub fn arg(&self, index: usize) -> Option<&Arg<'a>> {
        self.args.get(index)
    }

    /// The number at `index`.
    pub fn int(&self, index: usize) -> Option<i64> {
        self.arg(index)?.int()
    }

    /// The word at `index`.
    pub fn word(&self, index: usize) -> Option<&'a str> {
        self.arg(index)?.word()
    }

    /// The argument of this name: strace names those of clone.
    pub fn named(&self, name: &str) -> Option<&Arg<'a>> {
        self.args.iter().find_map(|arg| match arg {
            Arg::Named(known, value) if *known == name => Some(&**value),
            _ => None,
        })
    }
}

/// The name of a call, where the text is one.
pub fn name(text: &[u8]) -> Option<&str> {
    let end = text.iter().position(|byte| *byte == b'(')?;
    std::str::from_utf8(&text[..end]).ok()
}

/// Reads `name(arguments) = result`.
///
/// # Errors
/// It is not written so.
pub fn parse(text: &[u8]) -> Result<Call<'_>, ArgError> {
    let name = name(text).ok_or(ArgError)?;
    let mut cursor = Cursor::new(text.get(name.len() + 1..).unwrap_or_default());
    let (args, _) = cursor.args(b')')?;
    cursor.skip();
    if !cursor.take(b"=") {
        return Err(ArgError);
    }
    cursor.skip();
    if cursor.take(b"?") {
        return Ok(Call {
            name,
            args,
            result: None,
            shown: None,
        });
    }
    let value = cursor.arg(0)?;
    let mut result = result_of(&value);
    if result == Some(-1) {
        cursor.skip();
        let end = cursor.rest().iter().position(|byte| *byte == b' ');
        let word = cursor.rest().get(..end.unwrap_or(cursor.rest().len()));
        let word = word.and_then(|word| std::str::from_utf8(word).ok());
        if let Some(word) = word.filter(|word| word.starts_with('E')) {
            result = Some(-errno(word));
        }
    }
    let shown = match value {
        Arg::Descriptor(_, shown) => Some(shown),
        _ => None,
    };
    Ok(Call {
        name,
        args,
        result: Some(result.ok_or(ArgError)?),
        shown,
    })
}

/// A number; an address is none that matters beyond its being no failure.
fn result_of(value: &Arg<'_>) -> Option<i64> {
    let word = value.word()?;
    value.int().or_else(|| word.starts_with("0x").then_some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results() {
        let of = |text: &'static str| parse(text.as_bytes()).map(|call| call.result);
        assert_eq!(of("close(3) = 0"), Ok(Some(0)));
        assert_eq!(
            of("close(3)          = -1 EBADF (Bad file descriptor)"),
            Ok(Some(-9))
        );
        assert_eq!(of("exit_group(0)     = ?"), Ok(None));
        assert_eq!(
            of("poll() = ? ERESTART_RESTARTBLOCK (Interrupted)"),
            Ok(None)
        );
        assert_eq!(of("accept4(3<TCP:[7]>,  <unfinished ...>) = ?"), Ok(None));
        assert_eq!(
            of("mmap(NULL) = 0x7fc8ceea4720"),
            Ok(Some(0x7fc8_ceea_4720))
        );
        assert_eq!(of("mmap(NULL) = 0xffff888000000000"), Ok(Some(0)));
        assert_eq!(of("write(1, \"a) = 5\", 6) = 6 <0.000012>"), Ok(Some(6)));
        assert_eq!(
            of("fcntl(3, F_GETFL) = 0x8000 (flags O_RDONLY)"),
            Ok(Some(0x8000))
        );
        assert_eq!(of("close(3)"), Err(ArgError));
        let text = b"openat(AT_FDCWD, \"/lib/x\", O_RDONLY) = 3</usr/lib/x>";
        let call = parse(text).unwrap();
        assert_eq!(call.name, "openat");
        assert!(matches!(call.shown, Some(Shown::File { path, .. }) if path == "/usr/lib/x"));
    }
}
