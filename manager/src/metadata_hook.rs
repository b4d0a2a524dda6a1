//! The metadata stage: what only a package's own build back end can tell, asked in a VM, traced.

use std::sync::{Arc, Mutex};

use pyti_index::hook::{BoxFuture, HookError, HookRequest, MetadataHook};
use pyti_index::{WheelhouseFile, write_tar};
use serde::Deserialize;

use crate::order;
use crate::stages::Stages;

/// Where pip writes its report in the guest.
const REPORT: &str = "/home/dev/.cache/pyti-report.json";
/// Longest report read back.
const REPORT_BYTES: u64 = 4 << 20;

/// Runs `pip install --dry-run --no-deps --report` on a source distribution in a clone.
#[derive(Debug)]
pub struct VmHook {
    /// What runs stages and keeps what they leave.
    pub stages: Arc<Stages>,
    /// How often it was asked; each time is a stage of its own.
    pub count: Mutex<u32>,
}

impl MetadataHook for VmHook {
    fn metadata(&self, request: HookRequest) -> BoxFuture<'_, Result<String, HookError>> {
        Box::pin(async move {
            self.ask(&request).await.map_err(|error| HookError {
                reason: format!("{error:#}"),
            })
        })
    }
}

impl VmHook {
    async fn ask(&self, request: &HookRequest) -> anyhow::Result<String> {
        let name = self.next_name();
        let sdist = format!("{}/{}", order::WHEELHOUSE, request.filename);
        let options = [
            "--dry-run",
            "--ignore-installed",
            "--no-deps",
            "--report",
            REPORT,
        ];
        let mut order = order::order(
            &name,
            order::pip_install(&options, &sdist),
            self.stages.limits(),
        )?;
        order.collect.push((REPORT.to_owned(), REPORT_BYTES));
        let mut input = self.stages.scratch_file()?;
        let mut wheelhouse = request.wheelhouse.clone();
        wheelhouse.push(WheelhouseFile {
            filename: request.filename.clone(),
            path: request.sdist.clone(),
            sha256: request.sha256.clone(),
            bytes: std::fs::metadata(&request.sdist)?.len(),
        });
        write_tar(&wheelhouse, &mut input)?;
        let files = self.stages.run(&order, input).await?.files;
        let report = files.get(REPORT).ok_or_else(|| {
            anyhow::anyhow!("its build back end gave no metadata in the VM (stage {name})")
        })?;
        metadata_text(report)
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

/// pip's installation report (version 1): the parts that are metadata, PEP 566's JSON names.
/// <https://pip.pypa.io/en/stable/reference/installation-report/>
#[derive(Deserialize)]
struct Report {
    install: Vec<Installed>,
}

#[derive(Deserialize)]
struct Installed {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    metadata_version: String,
    name: String,
    version: String,
    requires_python: Option<String>,
    #[serde(default)]
    requires_dist: Vec<String>,
    #[serde(default)]
    provides_extra: Vec<String>,
}

/// The header of a METADATA file from pip's report.
fn metadata_text(report: &[u8]) -> anyhow::Result<String> {
    let report: Report = serde_json::from_slice(report)
        .map_err(|error| anyhow::anyhow!("pip's report from the VM could not be read: {error}"))?;
    let [Installed { metadata }] = report.install.as_slice() else {
        anyhow::bail!(
            "pip's report from the VM names {} packages, not one",
            report.install.len()
        );
    };
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        // The package chose the value: a line break in it must not become a field.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        text.push_str(&format!("{name}: {value}\n"));
    };
    field("Metadata-Version", &metadata.metadata_version);
    field("Name", &metadata.name);
    field("Version", &metadata.version);
    metadata
        .requires_python
        .iter()
        .for_each(|value| field("Requires-Python", value));
    metadata
        .requires_dist
        .iter()
        .for_each(|value| field("Requires-Dist", value));
    metadata
        .provides_extra
        .iter()
        .for_each(|value| field("Provides-Extra", value));
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::metadata_text;

    #[test]
    fn a_report_becomes_metadata() {
        let report = br#"{"install": [{"metadata": {"metadata_version": "2.1", "name": "a",
            "version": "1", "requires_dist": ["b>=2", "c\nName: evil"]}}]}"#;
        assert_eq!(
            metadata_text(report).unwrap(),
            "Metadata-Version: 2.1\nName: a\nVersion: 1\nRequires-Dist: b>=2\nRequires-Dist: cName: evil\n"
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
