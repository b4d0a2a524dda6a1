//! Which run a report is of.

use serde::{Deserialize, Serialize};

use crate::rules::date;

/// Which run, where it is kept, when and with what it was made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunInfo {
    /// Name of the run; none where it is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its directory; none where it is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// When and with what it was made.
    #[serde(flatten)]
    pub made: Made,
}

/// When and with what a run was made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Made {
    /// When it was started, seconds since the epoch.
    pub started: u64,
    /// Version of the PyTI that made it.
    pub program: String,
    /// Version of the Python that the package ran with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// The guest image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What the image's machine ran on: `kvm`, or `tcg` where QEMU emulated it. Runs without a machine do
    /// not say, nor do those of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accel: Option<String>,
    /// The indexes that it could fetch from, without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
}

impl Made {
    /// In a line, for a reader; not escaped.
    #[must_use]
    pub fn told(&self) -> String {
        let mut words = vec![when(self.started)];
        match (&self.python, &self.image) {
            (Some(python), Some(image)) => words.push(format!("Python {python} of image {image}")),
            (Some(python), None) => words.push(format!("Python {python}")),
            (None, Some(image)) => words.push(format!("image {image}")),
            (None, None) => {}
        }
        words.extend(self.accel.as_deref().map(ran_on));
        words.extend(self.index.clone());
        words.push(format!("PyTI {}", self.program));
        words.join(", ")
    }
}

/// What a machine ran on, in a word or two.
fn ran_on(accel: &str) -> String {
    match accel {
        "tcg" => "emulated".to_owned(),
        "kvm" => "on KVM".to_owned(),
        other => format!("on {other}"),
    }
}

/// A time in seconds since the epoch as `YYYY-MM-DD HH:MM UTC`.
#[must_use]
pub fn when(seconds: u64) -> String {
    let (day, time) = (seconds / 86_400, seconds % 86_400);
    format!(
        "{} {:02}:{:02} UTC",
        date(day),
        time / 3600,
        time % 3600 / 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_in_a_line() {
        for (accel, told) in [
            (None, ""),
            (Some("kvm"), " on KVM,"),
            (Some("tcg"), " emulated,"),
            (Some("another"), " on another,"),
        ] {
            let made = Made {
                started: 951_827_640,
                program: "0.1.0".into(),
                python: Some("3.13".into()),
                image: Some("trixie".into()),
                accel: accel.map(str::to_owned),
                index: Some("https://pypi.org/simple/".into()),
            };
            assert_eq!(
                made.told(),
                format!(
                    "2000-02-29 12:34 UTC, Python 3.13 of image trixie,{told} https://pypi.org/simple/, PyTI 0.1.0"
                )
            );
        }
    }

    #[test]
    fn a_run_that_does_not_say_what_its_machine_ran_on_is_read_as_it_is() {
        let old = r#"{"id":"1-x","started":1,"program":"0.1.0","image":"trixie"}"#;
        let run: RunInfo = serde_json::from_str(old).unwrap();
        assert_eq!(run.made.accel, None);
        assert_eq!(
            run.made.told(),
            "1970-01-01 00:00 UTC, image trixie, PyTI 0.1.0"
        );
        assert_eq!(serde_json::to_string(&run).unwrap(), old);
    }
}
