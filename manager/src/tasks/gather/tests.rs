//! Sets of requirements of which some are culprits.

use std::cell::{Cell, RefCell};

use super::*;

fn texts(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

fn has(texts: &str, text: &str) -> bool {
    texts.split_whitespace().any(|one| one == text)
}

/// What is resolved where nothing of it is a culprit; the notes say what.
fn found(set: Vec<String>, is_culprit: impl Fn(&str) -> bool) -> Resolving<'static> {
    let found = match set.iter().find(|text| is_culprit(text)) {
        Some(text) => Err(Failure::package(format!("no {text}"))),
        None => Ok(Closure {
            notes: set,
            ..Closure::default()
        }),
    };
    Box::pin(async move { found })
}

fn required(needed: &str, wanted: &str) -> Required {
    Required {
        needed: texts(needed),
        wanted: texts(wanted),
    }
}

/// Resolves what has none of `bad`, by wheels alone.
async fn gathered(needed: &str, wanted: &str, bad: &[&str]) -> (Vec<String>, Vec<String>, u32) {
    let asked = Cell::new(0);
    let resolve = |sources: bool, set: Vec<String>| {
        assert!(!sources);
        asked.set(asked.get() + 1);
        found(set, |text| bad.contains(&text))
    };
    let gathered = gather(required(needed, wanted), Sources::Never, resolve);
    let gathered = gathered.await.unwrap();
    let missing = gathered.missing.into_iter().map(|(text, _)| text);
    (gathered.closure.notes, missing.collect(), asked.get())
}

/// Resolves what has none of `bad` beside what is installed, and none of `gone` at all; of `sources` there are
/// no wheels. With how often it was asked for a set beside what is installed.
async fn gathered_beside(
    wanted: &str,
    bad: &str,
    gone: &str,
    sources: &str,
) -> (Result<Gathered, Failure>, usize) {
    let asked = Cell::new(0);
    let resolve = |alone: bool, built: bool, set: Vec<String>| {
        asked.set(asked.get() + usize::from(!alone));
        found(set, |text| {
            !alone && has(bad, text) || !built && has(sources, text) || has(gone, text)
        })
    };
    let gathered = gather_beside(required("n", wanted), true, resolve).await;
    (gathered, asked.get())
}

#[tokio::test]
async fn what_is_wanted_is_left_out_where_it_does_not_get_along_with_what_is_installed() {
    let gathered = gathered_beside("a b", "b", "", "").await.0.unwrap();
    assert_eq!(gathered.closure.notes, texts("n a"));
    let reason = ("b".to_owned(), "no b".to_owned());
    assert_eq!(gathered.missing, [reason]);
    assert_eq!(gathered.conflict, None);
}

#[tokio::test]
async fn what_is_needed_is_had_by_itself_where_it_does_not_get_along_with_what_is_installed() {
    let gathered = gathered_beside("a b", "n b", "a", "").await.0.unwrap();
    assert_eq!(gathered.closure.notes, texts("n b"));
    let reason = ("a".to_owned(), "no a".to_owned());
    assert_eq!(gathered.missing, [reason]);
    assert_eq!(gathered.conflict.as_deref(), Some("no n"));
    // It cannot be had at all.
    let failure = gathered_beside("a b", "", "n", "").await.0.unwrap_err();
    assert_eq!(failure.to_string(), "no n");
}

#[tokio::test]
async fn that_what_is_needed_does_not_get_along_takes_two_resolutions_to_find_out() {
    let wanted: Vec<String> = (0..40).map(|number| format!("a{number}")).collect();
    let (gathered, asked) = gathered_beside(&wanted.join(" "), "n", "", "").await;
    let gathered = gathered.unwrap();
    assert_eq!((gathered.closure.notes.len(), asked), (41, 2));
    assert_eq!(gathered.conflict.as_deref(), Some("no n"));
    // An old source of it is not looked for.
    let (gathered, asked) = gathered_beside("a", "", "", "n").await;
    let gathered = gathered.unwrap();
    assert_eq!((gathered.closure.notes, asked), (texts("n a"), 2));
    assert_eq!(gathered.conflict.as_deref(), Some("no n"));
}

#[tokio::test]
async fn what_has_no_wheel_is_taken_as_a_source_where_it_can_be_built() {
    let (gathered, asked) = gathered_beside("a b c", "", "", "b").await;
    let gathered = gathered.unwrap();
    assert_eq!((gathered.closure.notes, asked), (texts("n a b c"), 3));
    assert!(gathered.missing.is_empty());
    let gathered = gathered_beside("a b c d", "", "d", "b d").await.0.unwrap();
    assert_eq!(gathered.closure.notes, texts("n a b c"));
    let reason = ("d".to_owned(), "no d".to_owned());
    assert_eq!(gathered.missing, [reason]);
    assert_eq!(gathered.conflict, None);
    // Sources are not taken for a part that does without.
    let asked = RefCell::new(vec![]);
    let resolve = |sources: bool, set: Vec<String>| {
        asked.borrow_mut().push((sources, set.join(" ")));
        found(set, |text| text == "b")
    };
    let gathered = gather(required("n", "a b"), Sources::Wanted, resolve);
    let gathered = gathered.await.unwrap();
    assert_eq!(gathered.closure.notes, texts("n a"));
    let asked: Vec<_> = asked.take();
    let asked: Vec<_> = asked
        .iter()
        .map(|(sources, set)| (*sources, &**set))
        .collect();
    assert_eq!(
        asked,
        [
            (false, "n a b"),
            (false, "n"),
            (true, "n a b"),
            (false, "n a"),
            (false, "n a b"),
            (true, "n a b"),
        ]
    );
}

#[tokio::test]
async fn a_failure_that_is_no_requirements_fault_ends_it() {
    for fails_at in 0..4 {
        let asked = Cell::new(0);
        let resolve = |_: bool, set: Vec<String>| -> Resolving<'static> {
            asked.set(asked.get() + 1);
            if asked.get() > fails_at {
                return Box::pin(async { Err(Failure::infrastructure("no network")) });
            }
            found(set, |text| text == "b")
        };
        let gathered = gather(required("n", "a b"), Sources::All, resolve);
        let failure = gathered.await.unwrap_err();
        assert_eq!(failure, Failure::infrastructure("no network"));
        assert_eq!(asked.get(), fails_at + 1);
    }
}

#[tokio::test]
async fn what_can_be_had_is_kept() {
    let all = gathered("n", "a b c", &[]).await;
    assert_eq!(all, (texts("n a b c"), vec![], 1));
    let (kept, missing, _) = gathered("n", "a b c d e f", &["c", "f"]).await;
    assert_eq!((kept, missing), (texts("n a b d e"), texts("c f")));
    let (kept, missing, _) = gathered("n", "a b", &["a", "b"]).await;
    assert_eq!((kept, missing), (texts("n"), texts("a b")));
    let (kept, missing, asked) = gathered("n", "a", &["a"]).await;
    assert_eq!((kept, missing, asked), (texts("n"), texts("a"), 2));
    assert_eq!(gathered("n", "", &[]).await, (texts("n"), vec![], 1));
}

#[tokio::test]
async fn it_does_not_go_on_for_ever() {
    let wanted: Vec<String> = (0..500).map(|number| format!("a{number}")).collect();
    let bad: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let (kept, missing, asked) = gathered("n", &wanted.join(" "), &bad).await;
    assert_eq!((kept, missing.len(), asked), (texts("n"), 500, TRIES + 2));
}

#[test]
fn a_file_is_needed_where_its_distribution_is() {
    let needed = texts("pytest<8 unittest-xml-reporting");
    for (file, expected) in [
        ("pytest-7.4.tar.gz", true),
        ("unittest_xml_reporting-3.2.zip", true),
        // Those are of others.
        ("pytest-cov-4.0.tar.gz", false),
        ("py-1.11.tar.gz", false),
        ("pytest", false),
    ] {
        assert_eq!(needs_file(&needed, file), expected, "{file}");
    }
}
