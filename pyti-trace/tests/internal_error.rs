//! Panics of a program are told in one line each, and none is lost, whatever thread it is in. This
//! program is started once more for that: its panics are to be seen from outside.

use std::process::Command;
use std::thread;

use pyti_trace::internal_error;

/// Set where this program is to panic.
const PANIC: &str = "PYTI_TEST_PANIC";

fn panic_in_two_threads() {
    internal_error::tell_as("program");
    assert!(!internal_error::came());
    let other = thread::spawn(|| -> u32 { panic!("one of\n\u{1b}[31ma thread") });
    assert!(other.join().is_err());
    assert!(internal_error::came());
    let caught = internal_error::catch(|| -> u32 { panic!("one of the command") });
    assert_eq!(caught, None);
    assert_eq!(internal_error::catch(|| 1), Some(1));
}

#[test]
fn panics_are_told_in_one_line_each() {
    if std::env::var_os(PANIC).is_some() {
        return panic_in_two_threads();
    }
    let itself = std::env::current_exe().expect("no program");
    let output = Command::new(itself)
        .args(["--exact", "panics_are_told_in_one_line_each", "--nocapture"])
        .env(PANIC, "1")
        .output()
        .expect("failed to start it");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let ours = |line: &&str| line.starts_with("program: ");
    let told: Vec<&str> = stderr.lines().filter(ours).collect();
    let expected = [
        "program: internal error: one of\\n\\u{1b}[31ma thread (",
        "program: internal error: one of the command (",
    ];
    assert_eq!(told.len(), expected.len(), "{stderr}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}");
        assert!(told.contains(file!()), "{told}");
    }
    assert!(!stderr.contains('\u{1b}'), "{stderr:?}");
}
