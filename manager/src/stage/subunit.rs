//! Test results as subunit, version 1
//! (<https://github.com/testing-cabal/subunit/blob/master/README.rst>), which Twisted's trial writes:
//! lines that a test's own words may stand between, and may forge.

use super::junit::{Status, TestResult, last};

/// Characters kept of a name.
const LONGEST: usize = 2000;
/// Bytes kept of a message while it is read.
const LONGEST_BYTES: usize = 64 << 10;

/// The first results in a stream, so many at most, and how many there are besides.
pub(super) fn read(text: &str, room: usize) -> (Vec<TestResult>, usize) {
    let mut all = outcomes(text);
    let results = all.by_ref().take(room).map(result).collect();
    (results, all.count())
}

/// What a stream says of tests: how one ended, which, and its details.
fn outcomes(text: &str) -> impl Iterator<Item = (Status, &str, Option<String>)> {
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let (status, test) = lines.find_map(outcome)?;
        Some(match test.strip_suffix(" [") {
            Some(test) => (status, test, Some(details(&mut lines))),
            None => (status, test, None),
        })
    })
}

fn result((status, test, message): (Status, &str, Option<String>)) -> TestResult {
    let (class, name) = test.rsplit_once('.').unwrap_or(("", test));
    let message = message.filter(|_| status != Status::Passed);
    let text = message.unwrap_or_default();
    TestResult {
        class: class.chars().take(LONGEST).collect(),
        name: name.chars().take(LONGEST).collect(),
        status,
        // trial does not say.
        seconds: 0.0,
        wants: super::wanting::of(status, "", &text),
        // What failed stands at the end of a traceback.
        message: (!text.is_empty()).then(|| last(&text)),
        traceback: None,
        run: 0,
    }
}

/// What a line says of a test, and which.
fn outcome(line: &str) -> Option<(Status, &str)> {
    let (word, test) = line.split_once(": ")?;
    let status = match word {
        "success" | "successful" | "xfail" => Status::Passed,
        "failure" | "uxsuccess" => Status::Failed,
        "error" => Status::Error,
        "skip" => Status::Skipped,
        _ => return None,
    };
    Some((status, test))
}

/// The lines to the bracket that closes them.
fn details<'a>(lines: &mut impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for line in lines.take_while(|line| *line != "]") {
        if text.len() + line.len() < LONGEST_BYTES {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_reports_are_read() {
        let (results, beyond) = read(
            "test: a.T.test_x\nnoise\nsuccessful: a.T.test_x\ntest: a.T.test_y\nfailure: a.T.test_y [\n\
            Traceback\nFailTest: 1 != 2 : no [ bracket ]\n]\nerror: a.T.test_z [\n\
            ConnectionRefusedError: [Errno 111] Connection refused\n]\nskip: a.T.test_s [\nwhy\n]\n\
            xfail: a.T.test_t [\nTraceback\n]\nuxsuccess: a.T.test_u\nerror: cut [\nTrace",
            7,
        );
        assert_eq!(beyond, 0);
        let short: Vec<_> = results
            .iter()
            .map(|result| {
                let message = result.message.as_deref().unwrap_or_default();
                let last = message.trim_end().lines().last().unwrap_or_default();
                (
                    result.class.as_str(),
                    result.name.as_str(),
                    result.status,
                    last,
                )
            })
            .collect();
        assert_eq!(
            short,
            [
                ("a.T", "test_x", Status::Passed, ""),
                (
                    "a.T",
                    "test_y",
                    Status::Failed,
                    "FailTest: 1 != 2 : no [ bracket ]"
                ),
                (
                    "a.T",
                    "test_z",
                    Status::Error,
                    "ConnectionRefusedError: [Errno 111] Connection refused"
                ),
                ("a.T", "test_s", Status::Skipped, "why"),
                ("a.T", "test_t", Status::Passed, ""),
                ("a.T", "test_u", Status::Failed, ""),
                ("", "cut", Status::Error, "Trace"),
            ]
        );
        assert_eq!(results[2].wants.as_deref(), Some("a network"));
    }

    #[test]
    fn of_a_stream_without_end_the_rest_is_counted() {
        let text = "success: a.T.test_x\nskip: a.T.test_y [\nwhy\n]\n".repeat(6);
        for (room, kept, beyond) in [(10, 10, 2), (12, 12, 0), (100, 12, 0), (0, 0, 12)] {
            let (results, more) = read(&text, room);
            assert_eq!((results.len(), more), (kept, beyond));
        }
    }
}
