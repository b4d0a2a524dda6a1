//! A stage's datum for a reader: JSON of any shape as an outline.

use serde_json::Value;

use super::Style;
use super::page::Page;

/// Blanks that a level stands deeper than the one above it.
const STEP: usize = 2;
/// No level stands deeper: how deep a datum goes is its stage's to say.
const DEEPEST: usize = 24;

/// The datum as an outline, escaped: a line for each field, and its parts below.
#[must_use]
pub fn render_datum(datum: &Value, style: Style) -> String {
    let mut page = Page::new(style);
    page.datum(0, datum);
    page.out
}

impl Page {
    fn datum(&mut self, indent: usize, datum: &Value) {
        match datum {
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.field(indent, name, value);
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.item(indent, item);
                }
            }
            scalar => self.paragraph(indent, "", &plain(scalar)),
        }
    }

    fn field(&mut self, indent: usize, name: &str, value: &Value) {
        match short(value) {
            Some(text) => self.paragraph(indent, "", &format!("{name}: {text}")),
            None => {
                self.paragraph(indent, "", &format!("{name}:"));
                self.datum((indent + STEP).min(DEEPEST), value);
            }
        }
    }

    fn item(&mut self, indent: usize, item: &Value) {
        match (short(item), item) {
            (Some(text), _) => self.paragraph(indent, "• ", &text),
            (None, Value::Object(fields))
                if fields.values().all(|value| short(value).is_some()) =>
            {
                let told = |(name, value)| Some(format!("{name} {}", short(value)?));
                let parts: Vec<String> = fields.iter().filter_map(told).collect();
                self.paragraph(indent, "• ", &parts.join(", "));
            }
            (None, _) => {
                self.paragraph(indent, "•", "");
                self.datum((indent + STEP).min(DEEPEST), item);
            }
        }
    }
}

/// A value that is no list and no mapping, or an empty one.
fn short(value: &Value) -> Option<String> {
    match value {
        Value::Object(fields) if !fields.is_empty() => None,
        Value::Array(items) if !items.is_empty() => None,
        scalar => Some(plain(scalar)),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_shape_is_an_outline_and_drives_no_terminal() {
        let datum = serde_json::json!({
            "counts": {"failed": 1, "passed": 12},
            "ended": {"exit": null, "timed_out": false},
            "results": [
                {"name": "test_a\u{1b}[2J", "message": "one\ntwo"},
                {"name": "b", "steps": [1, "x"]},
            ],
            "wants": [],
        });
        let expected = "counts:\n  failed: 1\n  passed: 12\nended:\n  exit: none\n  timed_out: no\n\
            results:\n  • message one\\ntwo, name test_a\\u{1b}[2J\n  •\n    name: b\n    steps:\n      \
            • 1\n      • x\nwants: none\n";
        assert_eq!(render_datum(&datum, Style::default()), expected);
    }
}
