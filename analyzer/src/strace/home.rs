//! Whose home it was, where no environment tells.

use std::collections::HashMap;

use pyti_trace::event::Event;

/// Homes that are told apart.
const MAX_HOMES: usize = 1000;

/// The home directory that most paths of the trace lie in.
pub fn guess(events: &[Event]) -> Option<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let paths = events
        .iter()
        .flat_map(|event| [event.path.as_deref(), event.asked.as_deref()]);
    for home in paths.flatten().filter_map(home_of) {
        if counts.len() < MAX_HOMES || counts.contains_key(home) {
            *counts.entry(home).or_default() += 1;
        }
    }
    let most = counts
        .into_iter()
        .max_by_key(|(home, count)| (*count, std::cmp::Reverse(*home)));
    most.map(|(home, _)| home.to_owned())
}

/// `/home/NAME` or `/root`, where the path lies in one.
fn home_of(path: &str) -> Option<&str> {
    if path.starts_with("/root/") {
        return Some("/root");
    }
    let name = path.strip_prefix("/home/")?.split('/').next()?;
    let home = path.get(.."/home/".len() + name.len())?;
    (!name.is_empty() && path.len() > home.len()).then_some(home)
}

#[cfg(test)]
mod tests {
    use super::home_of;

    #[test]
    fn homes() {
        assert_eq!(home_of("/home/u/.ssh/id_rsa"), Some("/home/u"));
        assert_eq!(home_of("/root/x"), Some("/root"));
        for none in ["/home/u", "/home/", "/home//x", "/rooted/x", "home/u/x"] {
            assert_eq!(home_of(none), None, "{none}");
        }
    }
}
