//! What coverage.py is told to measure by a file, beside the places on its command line.

/// coverage.py's configuration in the guest.
pub(super) const CONFIGURATION: &str = "/home/dev/.cache/build/coveragerc";
/// Modules that are named in it. Those of a namespace package have dots: without them its name would stand
/// for every distribution that has a part in it.
const MOST_MODULES: usize = 200;

/// What coverage.py reads: these modules are measured, wherever they are imported from. Tests beside `src`
/// import what is installed, and a directory in which they run may have one that is called like it, which
/// `--source` would take for it.
pub(super) fn settings(modules: &[String]) -> String {
    let mut text = "[run]\nbranch = True\nparallel = True\n".to_owned();
    // What is no name could be taken for syntax.
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    let is_part = |part: &str| !part.is_empty() && part.chars().all(letter);
    let is_name = |module: &&String| module.split('.').all(is_part);
    let mut names = modules.iter().filter(is_name).take(MOST_MODULES).peekable();
    if names.peek().is_some() {
        text.push_str("source_pkgs =\n");
    }
    for name in names {
        text.push_str(&format!("    {name}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_module_is_taken_for_syntax() {
        let names = [
            "a_1",
            "é",
            "b\n[html]",
            "$HOME",
            "c,d",
            "",
            ".",
            "e.",
            ".e",
            "e..f",
            "e.f_1",
        ];
        let modules = names.map(str::to_owned);
        let text = settings(&modules);
        assert!(
            text.ends_with("\nsource_pkgs =\n    a_1\n    é\n    e.f_1\n"),
            "{text}"
        );
        assert!(!settings(&[]).contains("source_pkgs"));
        let many: Vec<String> = (0..MOST_MODULES * 2).map(|at| format!("a{at}")).collect();
        assert_eq!(settings(&many).lines().count(), 4 + MOST_MODULES);
    }
}
