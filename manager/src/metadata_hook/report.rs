//! What pip reports of a source distribution, as a METADATA file has it.

use pyti_index::HookError;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::wrong;

/// Words kept of a description.
const DESCRIPTION_WORDS: usize = 200;

/// pip's installation report (version 1): the parts that are metadata, PEP 566's JSON names.
/// <https://pip.pypa.io/en/stable/reference/installation-report/>
#[derive(Deserialize)]
struct Report<'a> {
    #[serde(borrow)]
    install: Vec<Installed<'a>>,
}

#[derive(Deserialize)]
struct Installed<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    metadata_version: String,
    name: String,
    version: String,
    requires_python: Option<String>,
    #[serde(default)]
    requires_dist: Vec<String>,
    #[serde(default)]
    provides_extra: Vec<String>,
    summary: Option<String>,
    author: Option<String>,
    author_email: Option<String>,
    maintainer: Option<String>,
    maintainer_email: Option<String>,
    home_page: Option<String>,
    #[serde(default)]
    project_url: Vec<String>,
    /// A list, or a text of the time before there was one.
    #[serde(borrow)]
    keywords: Option<&'a RawValue>,
    description: Option<String>,
    license: Option<String>,
    license_expression: Option<String>,
    #[serde(default)]
    license_file: Vec<String>,
    #[serde(default)]
    classifier: Vec<String>,
}

/// The header of a METADATA file from pip's report.
pub(super) fn metadata_text(report: &[u8]) -> Result<String, HookError> {
    let report: Report<'_> = serde_json::from_slice(report).map_err(|error| {
        wrong(format!(
            "pip's report from the VM could not be read: {error}"
        ))
    })?;
    let [Installed { metadata }] = report.install.as_slice() else {
        return Err(wrong(format!(
            "pip's report from the VM names {} packages, not one",
            report.install.len()
        )));
    };
    // The field is one line.
    let described = metadata.description.as_deref().map(|text| {
        let words: Vec<&str> = text.split_whitespace().take(DESCRIPTION_WORDS).collect();
        words.join(" ")
    });
    let described: Vec<String> = described.into_iter().collect();
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        // The package chose the value: a line break in it must not become a field.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        text.push_str(&format!("{name}: {value}\n"));
    };
    field("Metadata-Version", &metadata.metadata_version);
    field("Name", &metadata.name);
    field("Version", &metadata.version);
    let one = |value: &'_ Option<String>| value.iter().cloned().collect::<Vec<_>>();
    for (name, values) in [
        ("Requires-Python", one(&metadata.requires_python)),
        ("Summary", one(&metadata.summary)),
        ("Author", one(&metadata.author)),
        ("Author-email", one(&metadata.author_email)),
        ("Maintainer", one(&metadata.maintainer)),
        ("Maintainer-email", one(&metadata.maintainer_email)),
        ("Home-page", one(&metadata.home_page)),
        ("Project-URL", metadata.project_url.clone()),
        ("Keywords", keywords(metadata.keywords)),
        ("Description", described),
        ("License", one(&metadata.license)),
        ("License-Expression", one(&metadata.license_expression)),
        ("License-File", metadata.license_file.clone()),
        ("Requires-Dist", metadata.requires_dist.clone()),
        ("Provides-Extra", metadata.provides_extra.clone()),
        ("Classifier", metadata.classifier.clone()),
    ] {
        values.iter().for_each(|value| field(name, value));
    }
    Ok(text)
}

/// What a report cannot tell of the licence, in one sentence; `None` where it can. The fields of PEP 639 are
/// in it from pip 25.0 on.
pub(super) fn unknown_licence(report: &[u8]) -> Option<String> {
    /// Who wrote it.
    #[derive(Deserialize)]
    struct Writer {
        pip_version: String,
    }
    // Where it does not say, nobody knows that it is old.
    let Writer { pip_version } = serde_json::from_slice(report).ok()?;
    let major: u32 = pip_version.split('.').next()?.parse().ok()?;
    (major < 25).then(|| {
        "which expression and which files its build back end gave for its licence (PEP 639) is not known: \
         pip tells neither before 25.0"
            .to_owned()
    })
}

/// Keywords as METADATA has them: separated by commas.
fn keywords(told: Option<&RawValue>) -> Vec<String> {
    let told = told.map_or("null", RawValue::get);
    let text = serde_json::from_str::<String>(told).or_else(|_| {
        let words: Vec<String> = serde_json::from_str(told)?;
        serde_json::Result::Ok(words.join(","))
    });
    let text = text.ok().filter(|text| !text.is_empty());
    text.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::{metadata_text, unknown_licence};

    #[test]
    fn a_licence_is_told_with_its_files() {
        let report =
            br#"{"pip_version": "25.1.1", "install": [{"metadata": {"metadata_version": "2.4",
            "name": "a", "version": "1", "license_expression": "MIT",
            "license_file": ["LICENSE", "b/COPYING\n"]}}]}"#;
        assert_eq!(
            metadata_text(report).unwrap(),
            "Metadata-Version: 2.4\nName: a\nVersion: 1\nLicense-Expression: MIT\n\
            License-File: LICENSE\nLicense-File: b/COPYING\n"
        );
        assert_eq!(unknown_licence(report), None);
    }

    #[test]
    fn what_an_old_pip_does_not_tell_is_not_taken_for_nothing() {
        let of =
            |version: &str| unknown_licence(format!(r#"{{"pip_version": {version}}}"#).as_bytes());
        assert!(
            of(r#""23.0.1""#)
                .unwrap()
                .contains("(PEP 639) is not known")
        );
        for version in [r#""25.0""#, r#""x""#, "23"] {
            assert_eq!(of(version), None, "{version}");
        }
    }

    #[test]
    fn keywords_are_a_text_or_a_list_of_texts() {
        for (keywords, expected) in [
            (r#""x y""#, "\nKeywords: x y"),
            (r#"["x", "y"]"#, "\nKeywords: x,y"),
            ("null", ""),
            ("[]", ""),
            ("[1, [2]]", ""),
        ] {
            let report = format!(
                r#"{{"install": [{{"metadata": {{"metadata_version": "2.1", "name": "a",
                "version": "1", "keywords": {keywords}}}}}]}}"#
            );
            let text = metadata_text(report.as_bytes()).unwrap();
            assert_eq!(
                text,
                format!("Metadata-Version: 2.1\nName: a\nVersion: 1{expected}\n")
            );
        }
    }

    #[test]
    fn a_report_becomes_metadata() {
        let report = br#"{"install": [{"metadata": {"metadata_version": "2.1", "name": "a",
            "version": "1", "requires_dist": ["b>=2", "c\nName: evil"], "keywords": ["x", "y"],
            "author": "A", "project_url": ["Home, https://a"], "description": "One\n\nName: two"}}]}"#;
        assert_eq!(
            metadata_text(report).unwrap(),
            "Metadata-Version: 2.1\nName: a\nVersion: 1\nAuthor: A\nProject-URL: Home, https://a\n\
            Keywords: x,y\nDescription: One Name: two\nRequires-Dist: b>=2\nRequires-Dist: cName: evil\n"
        );
    }

    #[test]
    fn a_report_of_two_packages_is_refused() {
        let error = metadata_text(br#"{"install": []}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "pip's report from the VM names 0 packages, not one"
        );
    }
}
