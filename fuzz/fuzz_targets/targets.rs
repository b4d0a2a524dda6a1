//! What users type: a target, or a requirement of its build.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyti_index::{PackageName, Target, check_requirement};

/// Longest requirement that is read, bytes.
const LONGEST: usize = 8192;

/// A package means the same in any of its forms.
fn means_the_same(target: &Target) {
    let Target::Package {
        name,
        extras,
        version,
    } = target
    else {
        return;
    };
    // `+x.zip` at its end would be that of a file.
    if version.as_ref().is_some_and(|version| version.is_local()) {
        return;
    }
    let of_version = |joint: &str| match version {
        Some(version) => format!("{joint}{version}"),
        None => String::new(),
    };
    let names: Vec<&str> = extras.iter().map(PackageName::as_str).collect();
    let names = match &*names {
        [] => String::new(),
        names => format!("[{}]", names.join(",")),
    };
    let typed = format!("{name}{names}{}", of_version("=="));
    assert_eq!(Target::parse(&typed).ok().as_ref(), Some(target), "{typed}");
    if extras.is_empty() {
        let purl = format!("pkg:pypi/{name}{}", of_version("@"));
        assert_eq!(Target::parse(&purl).ok().as_ref(), Some(target), "{purl}");
    }
}

/// The part of a requirement before its condition.
fn wanted(normal: &str) -> Option<&str> {
    normal.split(" ; ").next()
}

fuzz_target!(|text: &str| {
    match Target::parse(text) {
        Ok(target) => means_the_same(&target),
        Err(error) => {
            let error = error.to_string();
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }
    match check_requirement(text) {
        Ok(normal) => {
            // The resolver reads a list of them, one in each line, and options and paths among them.
            assert!(
                !normal.contains(|c: char| c.is_control() && c != '\t'),
                "{normal:?}"
            );
            assert!(
                normal.starts_with(|c: char| c.is_ascii_alphanumeric()),
                "{normal:?}"
            );
            if normal.len() <= LONGEST {
                match check_requirement(&normal) {
                    Ok(again) => assert_eq!(wanted(&again), wanted(&normal)),
                    // Its condition may be too complicated now.
                    Err(reason) => assert!(!reason.contains("names an address"), "{reason}"),
                }
            }
        }
        Err(reason) => assert!(!reason.contains(char::is_control), "{reason:?}"),
    }
});
