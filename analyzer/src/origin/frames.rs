//! What the frames of a Python stack say of who acts.

use pyti_trace::event::Frame;

use super::Origin;

/// The frame that says who acts, and who that is: the innermost one of the package's that does not
/// merely hand over by `setup()`, or else the innermost one of somebody else's.
pub fn telling<'s>(stack: &'s [Frame], work: &str) -> Option<(&'s Frame, Origin)> {
    let mut innermost = None;
    let mut handed_over = false;
    for frame in stack.iter().filter(|frame| !is_shim(frame)) {
        let Some(origin) = of_file(&frame.file, work) else {
            continue;
        };
        if origin == Origin::Package {
            if !handed_over {
                return Some((frame, origin));
            }
            continue;
        }
        handed_over = origin == Origin::BuildRequirement && is_setup(frame);
        innermost.get_or_insert((frame, origin));
    }
    innermost
}

/// Whose the code is that runs: the innermost frame's that is not of the interpreter's own library.
pub fn innermost(stack: &[Frame], work: &str) -> Option<Origin> {
    let frames = stack.iter().filter(|frame| !is_shim(frame));
    frames.filter_map(|frame| of_file(&frame.file, work)).next()
}

/// The function that a `setup.py` hands over to.
fn is_setup(frame: &Frame) -> bool {
    frame.function == "setup"
        && [
            "/setuptools/__init__.py",
            "/distutils/core.py",
            "/_distutils/core.py",
        ]
        .iter()
        .any(|end| frame.file.ends_with(end))
}

/// What the interpreter itself puts between a class and its `__init__` (`init_cleanup` in
/// Python/specialize.c).
fn is_shim(frame: &Frame) -> bool {
    frame.file == "__init__" && frame.function == "__init__" && frame.line.is_none()
}

/// Whose a file of Python code is; `None` for the interpreter's own, which acts for its callers.
///
/// | file | whose |
/// |---|---|
/// | `<frozen …>`, the standard library | the interpreter's |
/// | below `work` | the harness's |
/// | `pip` of the system, `<pip-…>` | the installer's |
/// | anything else of the system's packages | a build requirement's |
/// | in pip's build environment | a build requirement's |
/// | in the user's `site-packages` | installed |
/// | anything else | the package's |
pub fn of_file(file: &str, work: &str) -> Option<Origin> {
    if file.starts_with("<frozen ") {
        return None;
    }
    if let Some(rest) = file.strip_prefix("/usr/lib/python3") {
        let package = rest.split_once("/dist-packages/")?.1;
        return Some(match package.split(['/', '.']).next() {
            Some("pip") => Origin::Installer,
            _ => Origin::BuildRequirement,
        });
    }
    Some(if file.starts_with("<pip-") {
        Origin::Installer
    } else if file
        .strip_prefix(work)
        .is_some_and(|rest| rest.starts_with('/'))
    {
        Origin::Harness
    } else if file.starts_with("/tmp/pip-build-env-") {
        Origin::BuildRequirement
    } else if file.contains("/site-packages/") {
        Origin::Installed
    } else {
        Origin::Package
    })
}
