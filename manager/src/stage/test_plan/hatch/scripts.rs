//! The scripts of an environment of hatch, of which one may call others
//! (<https://hatch.pypa.io/latest/config/environment/overview/#scripts>).

use std::cell::Cell;

use toml::{Table, Value};

/// Lines of one script.
const MOST: usize = 100;
/// Bytes of the lines that are looked at for all scripts of one environment, those of one that is called each
/// time.
pub(super) const MOST_BYTES: usize = 256 << 10;
/// Bytes of a line.
pub(super) const LONGEST: usize = 8 << 10;
/// Scripts within scripts.
const DEEPEST: usize = 8;

/// The lines of a script, those of the scripts that it calls in their place; `None` where it calls itself,
/// or there is too much of it. `left` is how many more bytes are looked at.
pub(super) fn lines(scripts: &Table, name: &str, left: &Cell<usize>) -> Option<Vec<String>> {
    expanded(scripts, name, 0, left)
}

fn expanded(scripts: &Table, name: &str, depth: usize, left: &Cell<usize>) -> Option<Vec<String>> {
    if depth > DEEPEST {
        return None;
    }
    let script = scripts.get(name)?;
    let said = match script {
        Value::Array(lines) => lines.as_slice(),
        one => std::slice::from_ref(one),
    };
    let look_at = |line: &str| {
        left.set(left.get().checked_sub(line.len() + 1)?);
        Some(())
    };
    let mut found = vec![];
    for line in said {
        let line = line.as_str().unwrap_or_default().trim();
        look_at(line)?;
        // What stands before a command whose failure is of no interest.
        let line = line.strip_prefix("- ").unwrap_or(line).trim_start();
        let (first, arguments) = line.split_once(' ').unwrap_or((line, ""));
        if scripts.contains_key(first) {
            for mut inside in expanded(scripts, first, depth + 1, left)? {
                if !arguments.is_empty() {
                    inside.push(' ');
                    inside.push_str(arguments);
                }
                look_at(&inside)?;
                found.push(inside);
            }
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
        let left = Cell::new(MOST_BYTES);
        let of = |name: &str| lines(&scripts, name, &left).map(|lines| lines.join("|"));
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
        let of = |name: &str| lines(&scripts, name, &Cell::new(MOST_BYTES));
        assert_eq!(of("s1").map(|lines| lines.len()), Some(100));
        for name in ["s7", "e7", "long"] {
            assert_eq!(of(name), None, "{name}");
        }
        // What is looked at for one is not looked at for another.
        let left = Cell::new(20);
        assert!(lines(&scripts, "s0", &left).is_some());
        assert!(lines(&scripts, "s0", &left).is_some());
        assert_eq!(lines(&scripts, "s0", &left), None);
    }
}
