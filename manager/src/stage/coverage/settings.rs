//! What coverage.py is told to measure by a file, beside the places on its command line.

use pyti_analyzer::amount;

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
    let mut names = names(modules).take(MOST_MODULES).peekable();
    if names.peek().is_some() {
        text.push_str("source_pkgs =\n");
    }
    for name in names {
        text.push_str(&format!("    {name}\n"));
    }
    text
}

/// What it says of modules that are too many to be named there, where any are.
pub(super) fn left_out(modules: &[String]) -> Option<String> {
    let all = names(modules).count();
    let more = all.saturating_sub(MOST_MODULES);
    let those = amount(more as u64, "module is", "modules are");
    (more > 0).then(|| {
        format!(
            "{those} measured in its source alone, since coverage.py is told only the first \
             {MOST_MODULES} of {all}"
        )
    })
}

/// The names of modules; what is none could be taken for syntax.
fn names(modules: &[String]) -> impl Iterator<Item = &String> {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    let is_part = move |part: &str| !part.is_empty() && part.chars().all(letter);
    let is_name = move |module: &&String| module.split('.').all(is_part);
    modules.iter().filter(is_name)
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

    #[test]
    fn modules_that_are_not_named_are_told() {
        let told = |count: usize| {
            let mut modules: Vec<String> = (0..count).map(|at| format!("a.b{at}")).collect();
            // What is no name is no module.
            modules.push("$HOME".to_owned());
            left_out(&modules)
        };
        assert_eq!(told(MOST_MODULES), None);
        for (count, those) in [(201, "1 module is"), (450, "250 modules are")] {
            let end = format!("since coverage.py is told only the first 200 of {count}");
            let expected = format!("{those} measured in its source alone, {end}");
            assert_eq!(told(count), Some(expected));
        }
    }
}
