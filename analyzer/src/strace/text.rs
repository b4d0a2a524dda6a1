//! Strings as strace prints them.

use std::fmt::Write;

/// The byte that an escape stands for, and how many bytes it took; `at` is behind the backslash.
/// strace writes `\n`, `\"`, up to three octal digits, and `\xNN` with its option -x.
pub fn unescape(bytes: &[u8]) -> Option<(u8, usize)> {
    let (first, rest) = bytes.split_first()?;
    let plain = match first {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'v' => 0x0b,
        b'f' => 0x0c,
        b'a' => 0x07,
        b'b' => 0x08,
        b'\\' | b'"' | b'\'' => *first,
        b'x' => {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            return Some((u8::from_str_radix(digits, 16).ok()?, 3));
        }
        b'0'..=b'7' => {
            let mut value = 0_u32;
            let mut length = 0;
            for digit in bytes.iter().take(3) {
                if !(b'0'..=b'7').contains(digit) {
                    break;
                }
                value = value * 8 + u32::from(digit - b'0');
                length += 1;
            }
            return Some((u8::try_from(value).ok()?, length));
        }
        _ => return None,
    };
    Some((plain, 1))
}

/// The bytes as text; what is not UTF-8 becomes `\xNN`, as in the probes' events. The second says
/// that there was such a thing.
pub fn text(bytes: &[u8]) -> (String, bool) {
    let mut out = String::with_capacity(bytes.len());
    let mut escaped = false;
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            escaped = true;
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    (out, escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        for (input, byte, length) in [
            (&b"n"[..], b'\n', 1),
            (b"\"x", b'"', 1),
            (b"0", 0, 1),
            (b"0018", 1, 3),
            (b"377", 0xff, 3),
            (b"74", b'<', 2),
            (b"x7fELF", 0x7f, 3),
        ] {
            assert_eq!(unescape(input), Some((byte, length)), "{input:?}");
        }
        for bad in [&b""[..], b"q", b"x7", b"xzz", b"777"] {
            assert_eq!(unescape(bad), None, "{bad:?}");
        }
        assert_eq!(text(b"a\xffb"), ("a\\xffb".to_owned(), true));
    }
}
