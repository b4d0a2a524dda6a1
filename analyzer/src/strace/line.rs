//! One line of a trace: who, when, and which of strace's few forms it has.

use super::names::signal;

/// The year 2262: with room behind it for events that happened at the same time.
const MAX_TIME: u64 = i64::MAX as u64;

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The thread; `None` where strace saw only one and did not name it.
    pub tid: Option<u32>,
    /// It was printed among other output (`[pid N]`), not to a file of its own (`N`).
    pub mixed: bool,
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
    /// What it says.
    pub what: What<'a>,
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// A call with its result.
    Call(&'a [u8]),
    /// The beginning of a call that goes on in a later line, there maybe of another thread: an exec
    /// gives the thread the number of its process.
    Begun(&'a [u8], Option<u32>),
    /// The rest of the call of this name.
    Rest(&'a str, &'a [u8]),
    /// The thread exited with this status.
    Exited(i32),
    /// The thread was ended by this signal.
    Killed(u32),
    /// The thread gave its number to another one that executed a program.
    Superseded(u32),
    /// A signal was delivered, a process changed its word size, a stop: nothing that is recorded.
    Remark,
}

/// Why a line is none of strace's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It does not begin with the time.
    #[error("it has no time since the epoch, which strace prints with -ttt")]
    Time,
    /// Nothing that strace prints.
    #[error("it is no line of strace")]
    Form,
}

/// Reads a line without its end; `None` for one that holds nothing.
///
/// # Errors
/// It is none of strace's.
pub fn parse(line: &[u8]) -> Result<Option<Line<'_>>, LineError> {
    let line = line.trim_ascii_end();
    // A message of strace itself, or a line of the stack that -k prints.
    if line.is_empty() || line.starts_with(b"strace: ") || line.starts_with(b" > ") {
        return Ok(None);
    }
    let (tid, mixed, rest) = thread(line);
    let Some((time_ns, rest)) = time(rest) else {
        let remark = tid.is_some() && is_remark(rest);
        return if remark {
            Ok(None)
        } else {
            Err(LineError::Time)
        };
    };
    let what = what(rest).ok_or(LineError::Form)?;
    Ok(Some(Line {
        tid,
        mixed,
        time_ns,
        what,
    }))
}

/// `[pid  N] ` or `N `.
fn thread(line: &[u8]) -> (Option<u32>, bool, &[u8]) {
    if let Some(rest) = line.strip_prefix(b"[pid ") {
        if let Some(end) = rest.iter().position(|byte| *byte == b']')
            && let Some(tid) = digits(rest[..end].trim_ascii())
        {
            return (Some(tid), true, rest[end + 1..].trim_ascii_start());
        }
    } else if let Some(end) = line.iter().position(|byte| *byte == b' ')
        && let Some(tid) = digits(&line[..end])
    {
        return (Some(tid), false, line[end..].trim_ascii_start());
    }
    (None, false, line)
}

fn digits<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `SECONDS.FRACTION `, the fraction of three, six or nine digits by strace's options.
fn time(line: &[u8]) -> Option<(u64, &[u8])> {
    let end = line.iter().position(|byte| *byte == b' ')?;
    let dot = line[..end].iter().position(|byte| *byte == b'.')?;
    let (seconds, fraction) = (&line[..dot], &line[dot + 1..end]);
    if fraction.len() > 9 {
        return None;
    }
    let seconds: u64 = digits(seconds)?;
    let mut nanoseconds: u64 = digits(fraction)?;
    for _ in fraction.len()..9 {
        nanoseconds *= 10;
    }
    let time_ns = seconds
        .checked_mul(1_000_000_000)?
        .checked_add(nanoseconds)
        .filter(|time_ns| *time_ns < MAX_TIME)?;
    Some((time_ns, line[end..].trim_ascii_start()))
}

fn is_remark(text: &[u8]) -> bool {
    text.starts_with(b"--- ") || text.starts_with(b"[ Process PID=")
}

fn what(text: &[u8]) -> Option<What<'_>> {
    if is_remark(text) {
        return Some(What::Remark);
    }
    if let Some(end) = text.strip_prefix(b"+++ ") {
        return ending(std::str::from_utf8(end.strip_suffix(b" +++")?).ok()?);
    }
    if let Some(rest) = text.strip_prefix(b"<... ") {
        let at = rest.windows(8).position(|part| part == b" resumed")?;
        let name = std::str::from_utf8(&rest[..at]).ok()?;
        let rest = &rest[at + 8..];
        // `resumed>` in versions of the last years, `resumed> ` before.
        let close = rest.iter().position(|byte| *byte == b'>')?;
        return Some(What::Rest(name, &rest[close + 1..]));
    }
    let text = without_options(text);
    let name = text
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"_?".contains(byte))
        .count();
    if name == 0 || text.get(name) != Some(&b'(') {
        return None;
    }
    if let Some(begun) = text.strip_suffix(b"<unfinished ...>") {
        return Some(What::Begun(begun.trim_ascii_end(), None));
    }
    if let Some(begun) = text.strip_suffix(b" ...>")
        && let Some(at) = begun
            .windows(16)
            .rposition(|part| part == b"<pid changed to ")
        // Else a file is called like this.
        && let Some(tid) = digits(&begun[at + 16..])
    {
        return Some(What::Begun(begun[..at].trim_ascii_end(), Some(tid)));
    }
    Some(What::Call(text))
}

/// Without what -i and -n print before the call: `[00007f…] `, `[  59] `.
fn without_options(mut text: &[u8]) -> &[u8] {
    for _ in 0..2 {
        if let Some(rest) = text.strip_prefix(b"[")
            && let Some(end) = rest.iter().take(40).position(|byte| *byte == b']')
            && rest[..end]
                .iter()
                .all(|byte| byte.is_ascii_hexdigit() || b" ?x".contains(byte))
        {
            text = rest[end + 1..].trim_ascii_start();
        }
    }
    text
}

fn ending(text: &str) -> Option<What<'static>> {
    if let Some(status) = text.strip_prefix("exited with ") {
        return status.parse().ok().map(What::Exited);
    }
    if let Some(name) = text.strip_prefix("killed by ") {
        let name = name.strip_suffix(" (core dumped)").unwrap_or(name);
        return signal(name).map(What::Killed);
    }
    let by = text.strip_prefix("superseded by execve in pid ")?;
    by.parse().ok().map(What::Superseded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what_of(line: &str) -> What<'_> {
        parse(line.as_bytes()).unwrap().unwrap().what
    }

    #[test]
    fn every_form() {
        let line = parse(b"[pid  22] 1700000000.000001 close(3) = 0\n")
            .unwrap()
            .unwrap();
        assert_eq!((line.tid, line.mixed), (Some(22), true));
        assert_eq!(line.time_ns, 1_700_000_000_000_001_000);
        assert_eq!(line.what, What::Call(b"close(3) = 0"));
        let line = parse(b"22 1.5 brk(NULL) = 0x5").unwrap().unwrap();
        assert_eq!(
            (line.tid, line.mixed, line.time_ns),
            (Some(22), false, 1_500_000_000)
        );
        assert_eq!(parse(b"1.5 brk(NULL) = 0x5").unwrap().unwrap().tid, None);
        assert_eq!(
            what_of("1 1.5 wait4(-1,  <unfinished ...>"),
            What::Begun(b"wait4(-1,", None)
        );
        assert_eq!(
            what_of("7 1.5 execve(\"/x\", [\"x\"], 0x1 /* 2 vars */ <pid changed to 6 ...>"),
            What::Begun(b"execve(\"/x\", [\"x\"], 0x1 /* 2 vars */", Some(6))
        );
        let file = r#"open("<pid changed to 6 ...", O_RDONLY) = 3</tmp/\74pid changed to ...>"#;
        assert_eq!(
            what_of(&format!("7 1.5 {file}")),
            What::Call(file.as_bytes())
        );
        assert_eq!(
            what_of("1 1.5 <... read resumed>\"\", 1) = 0"),
            What::Rest("read", b"\"\", 1) = 0")
        );
        assert_eq!(
            what_of("1 1.5 <... read resumed> ) = 0"),
            What::Rest("read", b" ) = 0")
        );
        assert_eq!(what_of("1 1.5 +++ exited with 3 +++"), What::Exited(3));
        assert_eq!(
            what_of("1 1.5 +++ killed by SIGSEGV (core dumped) +++"),
            What::Killed(11)
        );
        assert_eq!(
            what_of("1 1.5 +++ superseded by execve in pid 9 +++"),
            What::Superseded(9)
        );
        assert_eq!(
            what_of("1 1.5 --- SIGCHLD {si_signo=SIGCHLD} ---"),
            What::Remark
        );
        assert_eq!(
            what_of("1 1.5 [ Process PID=1 runs in 32 bit mode. ]"),
            What::Remark
        );
        assert_eq!(
            what_of("1 1.5 [  59] [00007f8a] close(1) = 0"),
            What::Call(b"close(1) = 0")
        );
        assert_eq!(parse(b"strace: Process 5 attached"), Ok(None));
        assert_eq!(parse(b""), Ok(None));
    }

    #[test]
    fn what_is_none() {
        assert_eq!(parse(b"close(3) = 0"), Err(LineError::Time));
        assert_eq!(parse(b"12:30:00.5 close(3) = 0"), Err(LineError::Time));
        assert_eq!(
            parse(b"1 99999999999999999999.5 close(3) = 0"),
            Err(LineError::Time)
        );
        assert_eq!(
            parse(b"1 18446744073.709551615 close(3) = 0"),
            Err(LineError::Time)
        );
        assert_eq!(parse(b"1 1.5 hello"), Err(LineError::Form));
        assert_eq!(parse(b"1 1.5 +++ what +++"), Err(LineError::Form));
        assert_eq!(parse(b"1 1.5 (3) = 0"), Err(LineError::Form));
    }
}
