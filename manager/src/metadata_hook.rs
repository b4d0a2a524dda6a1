//! The metadata stage: what only a package's own build back end can tell, asked in a VM, traced.

use std::sync::{Arc, Mutex};

use pyti_graph::{Datum, Kind, Outputs};
use pyti_index::hook::{BoxFuture, HookError, HookRequest, MetadataHook};
use pyti_index::{ErrorKind, WheelhouseFile};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::memo::StageMemo;
use crate::order::{self, Order};
use crate::stages::Stages;
use crate::tasks::failure::kind_of;

/// Where pip writes its report in the guest.
const REPORT: &str = "/home/dev/.cache/build-report.json";
/// The program in the guest where pip knows no reports: it writes a METADATA file.
const OLD: &str = include_str!("metadata.py");
/// Where that is.
const PROGRAM: &str = "/home/dev/.cache/build/metadata.py";
/// What the memo keeps: the text of the METADATA file.
const TEXT: &str = "metadata.text";
/// Words kept of a description.
const DESCRIPTION_WORDS: usize = 200;
/// Longest report read back.
const REPORT_BYTES: u64 = 4 << 20;

/// Runs `pip install --dry-run --no-deps --report` on a source distribution in a clone, or what does
/// the same with an old pip.
#[derive(Debug)]
pub struct VmHook {
    /// What runs stages and keeps what they leave.
    pub stages: Arc<Stages>,
    /// What was asked before.
    pub memo: Arc<StageMemo>,
    /// It is asked again, whatever was said before.
    pub fresh: bool,
    /// How often it was asked; each time is a stage of its own.
    pub count: Mutex<u32>,
}

/// Asks nobody: what tools are made of is not worth a VM.
#[derive(Debug)]
pub struct NoHook;

impl MetadataHook for NoHook {
    fn metadata(&self, _: HookRequest) -> BoxFuture<'_, Result<String, HookError>> {
        Box::pin(async {
            Err(HookError {
                reason: "a tool is not asked for its metadata in the VM".into(),
                kind: ErrorKind::Package,
            })
        })
    }
}

impl MetadataHook for VmHook {
    fn metadata(&self, request: HookRequest) -> BoxFuture<'_, Result<String, HookError>> {
        Box::pin(async move {
            // What is wrong with a back end's answer says so itself.
            self.recall_or_ask(&request).await.map_err(|error| {
                error
                    .downcast::<HookError>()
                    .unwrap_or_else(|error| HookError {
                        reason: format!("{error:#}"),
                        kind: ErrorKind::Infrastructure,
                    })
            })
        })
    }
}

impl VmHook {
    async fn recall_or_ask(&self, request: &HookRequest) -> anyhow::Result<String> {
        let name = self.next_name();
        let template = self.stages.template(Arc::new(|_| {})).await?;
        let key = key(request, &template.record().key, &self.stages.version()?)?;
        let known = (!self.fresh)
            .then(|| self.memo.recall(&name, &key))
            .flatten();
        let known = known.and_then(|outputs| outputs.get(&Kind::new(TEXT)).cloned());
        if let Some(text) = known.as_ref().and_then(|datum| datum.value().as_str()) {
            return Ok(text.to_owned());
        }
        let text = self.ask(name.clone(), request).await?;
        let outputs = Outputs::from([(TEXT.into(), Datum::of(&text)?)]);
        self.memo.keep(&name, &key, &outputs);
        Ok(text)
    }

    async fn ask(&self, name: String, request: &HookRequest) -> anyhow::Result<String> {
        let sdist = format!("{}/{}", order::WHEELHOUSE, request.filename);
        let python = self.stages.interpreter();
        let argv = if python.pip_reports() {
            let options = [
                "--dry-run",
                "--ignore-installed",
                "--no-deps",
                "--report",
                REPORT,
            ];
            order::pip_install(python, &options, &sdist)
        } else {
            let words = [&*python.path, PROGRAM, &sdist, order::WHEELHOUSE, REPORT];
            words.map(str::to_owned).to_vec()
        };
        let mut order = Order::new(&name, argv, self.stages.limits())?;
        if !python.pip_reports() {
            let program = (PROGRAM.to_owned(), order::guest_program(OLD));
            order.spec.files.push(program);
        }
        order.keep_to_wheelhouse();
        order.spec.collect.push((REPORT.to_owned(), REPORT_BYTES));
        order.wheelhouse.clone_from(&request.wheelhouse);
        order.wheelhouse.push(WheelhouseFile {
            filename: request.filename.clone(),
            path: request.sdist.clone(),
            sha256: request.sha256.clone(),
            bytes: std::fs::metadata(&request.sdist)?.len(),
        });
        let ran = self.stages.run(order).await?;
        // A back end that did not come to its end may have forged what pip was to write.
        ran.completed().map_err(|failure| HookError {
            reason: format!("its build back end failed in the VM: {failure}"),
            kind: kind_of(&failure),
        })?;
        let report = ran.files.get(REPORT).ok_or_else(|| {
            wrong(format!(
                "its build back end gave no metadata in the VM (stage {name})"
            ))
        })?;
        if python.pip_reports() {
            Ok(metadata_text(report)?)
        } else {
            Ok(String::from_utf8_lossy(report).into_owned())
        }
    }

    /// `metadata`, then `metadata-2` and so on: requirements may need it too.
    fn next_name(&self) -> String {
        let mut count = self
            .count
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        *count += 1;
        match *count {
            1 => "metadata".to_owned(),
            number => format!("metadata-{number}"),
        }
    }
}

/// What the package's own back end did wrong.
fn wrong(reason: String) -> HookError {
    HookError {
        reason,
        kind: ErrorKind::Package,
    }
}

/// The digest of all that shapes what a back end says.
fn key(request: &HookRequest, template: &str, version: &str) -> anyhow::Result<String> {
    let wheelhouse = request.wheelhouse.iter();
    let files: Vec<_> = wheelhouse
        .map(|file| (&file.filename, &file.sha256))
        .collect();
    let asked = (
        TEXT,
        template,
        version,
        &request.filename,
        &request.sha256,
        files,
    );
    Ok(Datum::of(&asked)?.digest())
}

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
    classifier: Vec<String>,
}

/// The header of a METADATA file from pip's report.
fn metadata_text(report: &[u8]) -> Result<String, HookError> {
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
        ("Requires-Dist", metadata.requires_dist.clone()),
        ("Provides-Extra", metadata.provides_extra.clone()),
        ("Classifier", metadata.classifier.clone()),
    ] {
        values.iter().for_each(|value| field(name, value));
    }
    Ok(text)
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
    use super::metadata_text;

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
