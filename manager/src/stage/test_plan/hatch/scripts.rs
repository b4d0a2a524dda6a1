//! The scripts of an environment of hatch, of which one may call others
//! (<https://hatch.pypa.io/latest/config/environment/overview/#scripts>).

use std::cell::Cell;

use toml::{Table, Value};

/// Lines of one script.
const MOST: usize = 100;
/// Lines of all scripts that are looked at for one.
const MOST_STEPS: usize = 2000;
/// Bytes of a line.
const LONGEST: usize = 8 << 10;
/// Scripts within scripts.
const DEEPEST: usize = 8;

/// The lines of a script, those of the scripts that it calls in their place; `None` where it calls itself,
/// or there is too much of it.
pub(super) fn lines(scripts: &Table, name: &str) -> Option<Vec<String>> {
    let steps = Cell::new(MOST_STEPS);
    expanded(scripts, name, 0, &steps)
}

fn expanded(scripts: &Table, name: &str, depth: usize, steps: &Cell<usize>) -> Option<Vec<String>> {
    if depth > DEEPEST {
        return None;
    }
    let script = scripts.get(name)?;
    let said = match script {
        Value::Array(lines) => lines.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut found = vec![];
    for line in said.iter().filter_map(Value::as_str) {
        steps.set(steps.get().checked_sub(1)?);
        // What stands before a command whose failure is of no interest.
        let line = line.trim();
        let line = line.strip_prefix("- ").unwrap_or(line).trim_start();
        let (first, arguments) = line.split_once(' ').unwrap_or((line, ""));
        if scripts.contains_key(first) {
            let inside = expanded(scripts, first, depth + 1, steps)?;
            found.extend(inside.into_iter().map(|line| match arguments {
                "" => line,
                more => format!("{line} {more}"),
            }));
        } else {
            found.push(line.to_owned());
        }
        let too_long = found.last().is_some_and(|line| line.len() > LONGEST);
        if too_long || found.len() > MOST {
            return None;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_call_scripts_with_more_words() {
        let scripts: Table = toml::from_str(
            "run-coverage = 'pytest --cov {args:tests}'\nrun = 'run-coverage --no-cov'\n\
            all = ['- run -k x', 'other run', 'run']\nring = 'ring'\nempty = []\nnone = 1\n",
        )
        .unwrap();
        let of = |name: &str| lines(&scripts, name).map(|lines| lines.join("|"));
        let plain = "pytest --cov {args:tests} --no-cov";
        assert_eq!(of("run").as_deref(), Some(plain));
        let all = format!("{plain} -k x|other run|{plain}");
        assert_eq!(of("all"), Some(all));
        assert_eq!(of("empty").as_deref(), Some(""));
        assert_eq!(of("none").as_deref(), Some(""));
        assert_eq!(of("ring"), None);
        assert_eq!(of("missing"), None);
    }

    #[test]
    fn hostile_scripts_come_to_an_end() {
        let many = |name: &str| format!("[{}]", format!("'{name}', ").repeat(100));
        let mut text = "s0 = 'pytest'\ne0 = []\n".to_owned();
        for depth in 1..8 {
            let before = depth - 1;
            let (full, empty) = (many(&format!("s{before}")), many(&format!("e{before}")));
            text.push_str(&format!("s{depth} = {full}\ne{depth} = {empty}\n"));
        }
        text.push_str(&format!("long = 'pytest {}'\n", "x".repeat(LONGEST)));
        let scripts: Table = toml::from_str(&text).unwrap();
        assert_eq!(lines(&scripts, "s1").map(|lines| lines.len()), Some(100));
        for name in ["s7", "e7", "long"] {
            assert_eq!(lines(&scripts, name), None, "{name}");
        }
    }
}
