//! What is made of the reports of checkers, honest ones and forged ones.

use super::*;

/// What is made of a report on the source distribution a-1.
fn read(report: Option<Report>) -> (Option<String>, Vec<CheckFinding>) {
    let Report {
        score,
        findings,
        more,
        looked_at: _,
    } = report.unwrap().seen_from("/home/dev/source/a-1");
    assert_eq!(more, 0);
    (score, findings)
}

#[test]
fn of_a_report_without_end_the_rest_is_counted() {
    let json = |one: &str| vec![one; MOST + 2].join(",");
    let lines = |one: &str| format!("{one}\n").repeat(MOST + 2);
    let message = r#"{"type":"e","symbol":"s","message":"m","line":1,"path":"p"}"#;
    let dashes = "------------------------------";
    for (tool, report) in [
        ("pylint", pylint(&format!("[{}]", json(message)), "")),
        (
            "pylint, json2",
            pylint(
                &format!(
                    r#"{{"messages":[{}],"statistics":{{"score":1}}}}"#,
                    json(message)
                ),
                "",
            ),
        ),
        ("ruff", ruff(&format!("[{}]", json("{}")))),
        (
            "bandit",
            bandit(&format!(r#"{{"results":[{}]}}"#, json("{}"))),
        ),
        ("pyflakes", pyflakes(&lines("a.py:1:1: x"), "")),
        (
            "check-wheel-contents",
            check_wheel_contents(&lines("a.whl: W001: x\n  a")),
        ),
        (
            "twine",
            twine(
                &format!("Checking a: FAILED\n{}", lines("WARNING  x")),
                Some(1),
            ),
        ),
        (
            "pyroma",
            pyroma(&format!(
                "{dashes}\nx\n{dashes}\n{}{dashes}\nFinal rating: 1/10\n",
                lines("\u{1e}x")
            )),
        ),
    ] {
        let report = report.unwrap_or_else(|| panic!("{tool}"));
        assert_eq!((report.findings.len(), report.more), (MOST, 2), "{tool}");
    }
}

#[test]
fn files_have_one_root_whatever_names_them() {
    let source = "/home/dev/source/a-1";
    for (path, source, seen) in [
        ("/home/dev/source/a-1/a/b.py", source, "a/b.py"),
        (
            "/home/dev/source/a-1/site-packages/b.py",
            source,
            "site-packages/b.py",
        ),
        (
            "/home/dev/source/a-10/b.py",
            source,
            "/home/dev/source/a-10/b.py",
        ),
        // An archive may have no directory that holds all of it.
        ("/home/dev/source/a/b.py", "/home/dev/source", "a/b.py"),
        (
            "/home/dev/.local/lib/python3.13/site-packages/a/b.py",
            "/tmp/work-x",
            "a/b.py",
        ),
        ("/home/dev/source/a-1/b.py", "", "/home/dev/source/a-1/b.py"),
        // In a wheel.
        (
            "a/site-packages/b.py",
            "/tmp/work-x",
            "a/site-packages/b.py",
        ),
    ] {
        assert_eq!(relative(path, source), seen, "{path} {source}");
    }
}

#[test]
fn reports_are_read() {
    let (score, found) = read(pylint(
        r#"{"messages":[{"type":"convention","symbol":"line-too-long","messageId":"C0301",
        "message":"Line too long","line":3,"column":0,"path":"/home/dev/.local/lib/python3.13/site-packages/a.py"}],
        "statistics":{"score":7.5}}"#,
        "",
    ));
    assert_eq!(score.as_deref(), Some("score 7.50 of 10"));
    assert_eq!(
        found,
        [finding(
            "line-too-long",
            Some("a.py"),
            Some(3),
            "Line too long",
            "convention"
        )]
    );

    let (score, found) = read(pylint(
        r#"[{"type":"error","module":"a","obj":"","line":1,"column":0,"path":"/home/dev/x.py",
        "symbol":"syntax-error","message":"invalid syntax","message-id":"E0001"}]"#,
        "a warning\n\nscore 7.5\n",
    ));
    assert_eq!(
        (score.as_deref(), found),
        (
            Some("score 7.50 of 10"),
            vec![finding(
                "syntax-error",
                Some("/home/dev/x.py"),
                Some(1),
                "invalid syntax",
                "error"
            )]
        )
    );

    let (_, found) = read(ruff(
        r#"[{"code":"F401","message":"unused","filename":"/home/dev/source/a-1/a.py","location":{"row":2}}]"#,
    ));
    assert_eq!(
        found,
        [finding("F401", Some("a.py"), Some(2), "unused", "warning")]
    );

    let (_, found) = read(pyflakes(
        "/home/dev/source/a-1/a.py:2:1: 'os' imported but unused\n",
        "/home/dev/source/a-1/b.py:3:7: invalid syntax\nprint 'x'\n      ^\n",
    ));
    assert_eq!(
        found,
        [
            finding(
                "",
                Some("a.py"),
                Some(2),
                "'os' imported but unused",
                "warning"
            ),
            finding("", Some("b.py"), Some(3), "invalid syntax", "error")
        ]
    );

    let (_, found) = read(check_wheel_contents(
        "a-1-py3-none-any.whl: W009: Wheel contains multiple toplevel library entries:\n  a/\n  tests/\n\
        a-1-py3-none-any.whl: W007: Wheel library is empty\n",
    ));
    assert_eq!(
        found,
        [
            finding(
                "W009",
                Some("a/"),
                None,
                "Wheel contains multiple toplevel library entries: a/, tests/",
                "warning"
            ),
            finding("W007", None, None, "Wheel library is empty", "warning")
        ]
    );

    // Of 6, and of 1.15.
    for output in [
        "Checking a.tar.gz: PASSED with warnings\nWARNING  `long_description` missing.\n",
        "Checking a.tar.gz: PASSED, with warnings\n  warning: `long_description` missing.\n",
    ] {
        let (score, found) = read(twine(output, Some(0)));
        assert_eq!(score.as_deref(), Some("passed"));
        let missing = "`long_description` missing.";
        assert_eq!(found, [finding("", None, None, missing, "warning")]);
    }

    let dashes = "------------------------------\n";
    let text = format!(
        "{dashes}Checking /x\nFound a\n{dashes}\u{1e}You have no classifiers.\n\
        \u{1e}Your Description is not valid ReST:\nline 2: underline of\n\n{dashes}is short.\n\n\
        {dashes}Final rating: 8/10\nSolid\n{dashes}"
    );
    let (score, found) = read(pyroma(&text));
    assert_eq!(score.as_deref(), Some("rating 8/10"));
    let invalid = format!(
        "Your Description is not valid ReST: line 2: underline of {} is short.",
        dashes.trim_end()
    );
    let expected = ["You have no classifiers.", &invalid]
        .map(|message| finding("", None, None, message, "warning"));
    assert_eq!(found, expected);
    let fresh = "------------------------------\nChecking /x\nFound a\n------------------------------\nFinal rating: 10/10\nYour cheese is so fresh\n------------------------------\n";
    let (score, found) = read(pyroma(fresh));
    assert_eq!(score.as_deref(), Some("rating 10/10"));
    assert_eq!(found, []);
}

#[test]
fn how_many_modules_pylint_looked_at_is_read() {
    let of_json2 = r#"{"messages":[],"statistics":{"modulesLinted":0,"score":10.0}}"#;
    let message = r#"[{"type":"error","symbol":"s","message":"m","line":1,"path":"p"}]"#;
    for (output, errors, looked_at) in [
        (of_json2, "", Some(0)),
        (&*of_json2.replace(":0,", ":12,"), "modules 1\n", Some(12)),
        (r#"{"messages":[],"statistics":{"score":10.0}}"#, "", None),
        // Of 1.9.
        ("", "modules 0\n", Some(0)),
        (message, "a warning\n\nmodules 3\nscore 7.5\n", Some(3)),
        (message, "score 7.5\n", None),
    ] {
        let report = pylint(output, errors).unwrap();
        assert_eq!(report.looked_at, looked_at, "{output} {errors}");
    }
}

#[test]
fn twines_verdict_is_its_own_word_behind_the_files_path() {
    for (output, exit, score) in [
        (
            "Checking a.whl: FAILED\nERROR    x\n         line 1: PASSED\n",
            1,
            Some("failed"),
        ),
        ("Checking PASSED-1.tar.gz: FAILED\n", 1, Some("failed")),
        // What is longer than a line is wrapped.
        (
            "Checking \n/wheelhouse/a.t\nar.gz: PASSED\n",
            0,
            Some("passed"),
        ),
        ("Checking a.whl: PASSED\n", 1, None),
        (
            "Checking a.whl: ERROR    x\nChecking b.whl: PASSED\n",
            0,
            None,
        ),
        ("PASSED\n", 0, None),
    ] {
        let report = twine(output, Some(exit));
        let read = report.and_then(|report| report.score);
        assert_eq!(read.as_deref(), score, "{output}");
    }
}
