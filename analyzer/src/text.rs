//! Text from outside made safe to print, and lists as a reader would say them.

pub use pyti_trace::text::{escape, escape_within};

/// The items as a reader would say them: `a`, `a and b`, `a, b and 3 more`.
#[must_use]
pub fn enumerate(items: &[String], more: usize) -> String {
    const SHOWN: usize = 3;
    let shown = items.len().min(SHOWN);
    let rest = items.len() - shown + more;
    let head = &items[..shown];
    match (head, rest) {
        ([], 0) => "nothing".to_owned(),
        (head, 0) => match head.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, before)) => format!("{} and {last}", before.join(", ")),
            None => String::new(),
        },
        (head, rest) => format!("{} and {rest} more", head.join(", ")),
    }
}

/// A number with what there are so many of: `1 file`, `2 files`.
#[must_use]
pub fn amount(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enumerates() {
        let items = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!(enumerate(&items(1), 0), "0");
        assert_eq!(enumerate(&items(2), 0), "0 and 1");
        assert_eq!(enumerate(&items(3), 0), "0, 1 and 2");
        assert_eq!(enumerate(&items(5), 2), "0, 1, 2 and 4 more");
    }
}
