//! Requirements of development in `pyproject.toml`: dependency groups (PEP 735), and what poetry, PDM, rye
//! and uv had before there were any.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::command::DEV;

/// Requirements of one group, those that it includes among them.
const MOST: usize = 500;

/// The requirements of a dependency group with the groups that it includes
/// (<https://packaging.python.org/en/latest/specifications/dependency-groups/>) and with uv's old list, which
/// uv adds to one of them; else those of poetry's, PDM's or rye's group of this name.
pub(super) fn group(project: &Table, name: &str) -> Vec<String> {
    let mut found = vec![];
    if let Some(groups) = project.get("dependency-groups").and_then(Value::as_table) {
        let mut named: Groups<'_> = BTreeMap::new();
        for (own, items) in groups.iter() {
            named.entry(normal(own)).or_insert(items);
        }
        include(&named, &normal(name), &mut BTreeSet::new(), &mut found);
    }
    let Some(tool) = project.get("tool") else {
        return found;
    };
    // Where no group had a name.
    let old = |of: &str| {
        let of = tool.get(of).filter(|_| normal(name) == DEV);
        of.and_then(|of| of.get("dev-dependencies"))
    };
    found.extend(texts(old("uv")));
    if !found.is_empty() {
        found.truncate(MOST);
        return found;
    }
    let pdm = tool.get("pdm").and_then(|pdm| pdm.get("dev-dependencies"));
    found.extend(texts(pdm.and_then(|groups| groups.get(name))));
    found.extend(texts(old("rye")));
    let poetry = tool.get("poetry");
    let own = poetry.and_then(|poetry| poetry.get("group")?.get(name)?.get("dependencies"));
    let old = old("poetry");
    for table in [own, old].into_iter().flatten().filter_map(Value::as_table) {
        found.extend(
            table
                .iter()
                .filter_map(|(name, value)| of_poetry(name, value)),
        );
    }
    found.truncate(MOST);
    found
}

/// The requirements in a list, without the options of pip.
fn texts(list: Option<&Value>) -> impl Iterator<Item = String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    let texts = items.filter_map(Value::as_str);
    texts
        .filter(|text| !text.starts_with('-'))
        .map(str::to_owned)
}

/// Groups by their names as they are compared.
type Groups<'a> = BTreeMap<String, &'a Value>;

fn include(groups: &Groups<'_>, name: &str, seen: &mut BTreeSet<String>, found: &mut Vec<String>) {
    // Once each: a group that includes itself by whatever way adds nothing.
    if !seen.insert(name.to_owned()) || seen.len() > MOST {
        return;
    }
    let items = groups.get(name).and_then(|items| items.as_array());
    for item in items.into_iter().flatten() {
        if found.len() >= MOST {
            return;
        }
        if let Some(text) = item.as_str() {
            found.push(text.to_owned());
        } else if let Some(other) = item.get("include-group").and_then(Value::as_str) {
            include(groups, &normal(other), seen, found);
        }
    }
}

/// A name as PEP 503 compares it.
fn normal(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_lowercase()
}

/// A dependency as poetry writes it
/// (<https://python-poetry.org/docs/dependency-specification/>) in the form of PEP 508; none where
/// it is no package of an index.
fn of_poetry(name: &str, value: &Value) -> Option<String> {
    if name == "python" {
        return None;
    }
    let table = value.as_table();
    let version = match value.as_str() {
        Some(version) => version,
        None => table?.get("version")?.as_str()?,
    };
    let extras: Vec<&str> = table
        .and_then(|table| table.get("extras")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut text = name.to_owned();
    if !extras.is_empty() {
        text.push_str(&format!("[{}]", extras.join(",")));
    }
    let parts = version.split(',').map(str::trim);
    let parts: Vec<String> = parts
        .filter(|part| *part != "*" && !part.is_empty())
        .map(range)
        .collect::<Option<_>>()?;
    text.push_str(&parts.join(","));
    if let Some(marker) = table.and_then(|table| table.get("markers")?.as_str()) {
        text.push_str(&format!(" ; {marker}"));
    }
    Some(text)
}

/// `^1.2` and `~1.2` as pairs of limits; what has an operator of PEP 440 as it is.
fn range(text: &str) -> Option<String> {
    let (caret, version) = match text.split_at_checked(1)? {
        ("^", version) => (true, version),
        ("~", version) if !version.starts_with('=') => (false, version),
        _ if text.starts_with(|c: char| c.is_ascii_digit()) => return Some(format!("=={text}")),
        _ => return Some(text.to_owned()),
    };
    let numbers: Vec<u64> = version
        .split('.')
        .map_while(|part| part.parse().ok())
        .take(8)
        .collect();
    let last = if caret {
        let significant = numbers.iter().position(|number| *number > 0);
        significant.unwrap_or(numbers.len().checked_sub(1)?)
    } else {
        numbers.len().checked_sub(1)?.min(1)
    };
    let mut above: Vec<String> = numbers[..=last].iter().map(u64::to_string).collect();
    *above.last_mut()? = numbers[last].checked_add(1)?.to_string();
    Some(format!(">={version},<{}", above.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_include_groups_and_rings_end() {
        let project: Table = toml::from_str(
            "[dependency-groups]\ntest = ['a', {include-group = 'My_Cov'}]\nmy-cov = ['b', {include-group = 'test'}]\n",
        )
        .unwrap();
        assert_eq!(group(&project, "test"), ["a", "b"]);
        assert!(group(&project, "dev").is_empty());
    }

    #[test]
    fn a_long_chain_among_many_groups_is_followed_to_its_bound() {
        let link = |at: usize| format!("G_{at} = ['a{at}', {{include-group = 'g-{}'}}]\n", at + 1);
        let chain: String = (0..MOST * 2).map(link).collect();
        let others: String = (0..9999).map(|at| format!("o{at} = ['b']\n")).collect();
        let project = format!("[dependency-groups]\n{others}{chain}");
        let found = group(&toml::from_str(&project).unwrap(), "g.0");
        assert_eq!(found.len(), MOST);
        assert_eq!(found.last(), Some(&format!("a{}", MOST - 1)));
    }

    #[test]
    fn poetry_and_pdm_had_groups_before() {
        let project: Table = toml::from_str(
            "[tool.poetry.group.test.dependencies]\npython = '^3.9'\na = '^1.2.3'\nb = {version = '~0.3', extras = ['x'], markers = \"os_name == 'nt'\"}\n\
            c = '*'\nd = {git = 'https://x.test'}\ne = '>=1,<2'\n[tool.pdm.dev-dependencies]\ndev = ['f>1', '-e file:///x']\n",
        )
        .unwrap();
        assert_eq!(
            group(&project, "test"),
            [
                "a>=1.2.3,<2",
                "b[x]>=0.3,<0.4 ; os_name == 'nt'",
                "c",
                "e>=1,<2"
            ]
        );
        assert_eq!(group(&project, "dev"), ["f>1"]);
        assert_eq!(range("^0.0.3").as_deref(), Some(">=0.0.3,<0.0.4"));
        assert_eq!(range("^x"), None);
    }

    #[test]
    fn uv_and_rye_had_a_list_before() {
        let of = |text: &str, name: &str| group(&toml::from_str(text).unwrap(), name);
        let rye = "[tool.rye]\ndev-dependencies = ['a', 'b>1']\n";
        assert_eq!(of(rye, "dev"), ["a", "b>1"]);
        assert!(of(rye, "test").is_empty());
        let uv = "[tool.uv]\ndev-dependencies = ['a', '-e .']\n";
        assert_eq!(of(uv, "dev"), ["a"]);
        // That one is added to the group, the others only stand for it.
        let groups = "[dependency-groups]\ndev = ['c']\n";
        assert_eq!(of(&format!("{uv}{groups}"), "dev"), ["c", "a"]);
        assert_eq!(of(&format!("{rye}{groups}"), "dev"), ["c"]);
    }
}
