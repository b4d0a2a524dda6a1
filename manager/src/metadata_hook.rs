//! The metadata stage: what only a package's own build back end can tell, asked in a VM, traced.

mod report;

use std::sync::{Arc, Mutex, MutexGuard};

use pyti_graph::{Datum, Kind, Outputs};
use pyti_index::hook::{BoxFuture, HookError, HookRequest, MetadataHook};
use pyti_index::{EntryPoints, ErrorKind, WheelhouseFile, entry_points};
use serde::{Deserialize, Serialize};

use crate::memo::StageMemo;
use crate::order::{self, Order};
use crate::stages::Stages;
use crate::tasks::METADATA;
use crate::tasks::failure::kind_of;

/// Where pip writes its report in the guest.
const REPORT: &str = "/home/dev/.cache/build-report.json";
/// Where our programs put the entry points, which that report does not tell.
const ENTRY_POINTS: &str = "/home/dev/.cache/build-entry-points.txt";
/// Keeps them while pip runs, as that interpreter's `sitecustomize`: pip's own command stays what it is.
const KEEP: &str = include_str!("metadata_hook/keep.py");
/// Where that is.
const KEEPS: &str = "/home/dev/.cache/build/metadata";
/// The program in the guest where pip knows no reports: it writes a METADATA file.
const OLD: &str = include_str!("metadata.py");
/// Where that is.
const PROGRAM: &str = "/home/dev/.cache/build/metadata.py";
/// What the memo keeps: a [`Told`].
const TOLD: &str = "metadata.told";
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
    /// Who was asked in this run; each time is a stage of its own.
    pub asked: Mutex<Asked>,
}

/// Whose back ends were asked.
#[derive(Debug, Default)]
pub struct Asked {
    /// The target's own.
    target: bool,
    /// How many others.
    others: u32,
    /// The target's entry points, where its back end told them.
    entry_points: Option<EntryPoints>,
}

impl Asked {
    /// The name of the next stage: `metadata` is the target's own, `metadata-2` and so on are those of what
    /// it requires, also where the target itself need not be asked.
    fn name(&mut self, of_target: bool) -> String {
        if of_target && !self.target {
            self.target = true;
            return METADATA.to_owned();
        }
        self.others += 1;
        format!("{METADATA}-{}", self.others + 1)
    }
}

/// What a back end told.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    /// The text of the METADATA file.
    text: String,
    /// That of `entry_points.txt`, empty where it made none; `None` where that is not known.
    entry_points: Option<String>,
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
    /// The target's entry points, where its back end was asked and told them.
    #[must_use]
    pub fn entry_points(&self) -> Option<EntryPoints> {
        self.asked().entry_points.clone()
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    async fn recall_or_ask(&self, request: &HookRequest) -> anyhow::Result<String> {
        let target = self.stages.record().target.sha256.clone();
        let of_target = target.as_deref() == Some(request.sha256.as_str());
        let name = self.asked().name(of_target);
        let template = self.stages.template(Arc::new(|_| {})).await?;
        let key = key(request, &template.record().key, &self.stages.version()?)?;
        let known = (!self.fresh)
            .then(|| self.memo.recall(&name, &key))
            .flatten();
        let known = known.and_then(|outputs| {
            let datum = outputs.get(&Kind::new(TOLD))?;
            Told::deserialize(datum.value()).ok()
        });
        let told = match known {
            Some(told) => told,
            None => {
                let told = self.ask(name.clone(), request).await?;
                let outputs = Outputs::from([(TOLD.into(), Datum::of(&told)?)]);
                self.memo.keep(&name, &key, &outputs);
                told
            }
        };
        if of_target {
            let entry_points = told.entry_points.as_deref().map(entry_points::parse);
            self.asked().entry_points = entry_points;
        }
        Ok(told.text)
    }

    async fn ask(&self, name: String, request: &HookRequest) -> anyhow::Result<Told> {
        let sdist = format!("{}/{}", order::WHEELHOUSE, request.filename);
        let python = self.stages.interpreter();
        let reports = python.pip_reports();
        let argv = if reports {
            let options = [
                "--dry-run",
                "--ignore-installed",
                "--no-deps",
                "--report",
                REPORT,
            ];
            order::pip_install(python, &options, &sdist)
        } else {
            let files = [order::WHEELHOUSE, REPORT, ENTRY_POINTS];
            let words = [&[&*python.path, PROGRAM, &sdist][..], &files].concat();
            words.into_iter().map(str::to_owned).collect()
        };
        let mut order = Order::new(&name, argv, self.stages.limits())?;
        let program = if reports {
            let path = ("PYTHONPATH".to_owned(), KEEPS.to_owned());
            order.spec.env.push(path);
            (format!("{KEEPS}/sitecustomize.py"), KEEP.to_owned())
        } else {
            (PROGRAM.to_owned(), order::guest_program(OLD))
        };
        order.spec.files.push(program);
        order.keep_to_wheelhouse();
        order.spec.collect.extend([
            (REPORT.to_owned(), REPORT_BYTES),
            (ENTRY_POINTS.to_owned(), entry_points::LONGEST_FILE as u64),
        ]);
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
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let report = ran.files.get(REPORT).ok_or_else(|| {
            wrong(format!(
                "its build back end gave no metadata in the VM (stage {name})"
            ))
        })?;
        Ok(Told {
            text: match reports {
                true => report::metadata_text(report)?,
                false => text(report),
            },
            entry_points: ran.files.get(ENTRY_POINTS).map(text),
        })
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
        TOLD,
        template,
        version,
        &request.filename,
        &request.sha256,
        files,
    );
    Ok(Datum::of(&asked)?.digest())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    #[test]
    fn the_stage_of_the_target_alone_has_the_plain_name() {
        let mut asked = Asked::default();
        // What the build of the target requires is asked before it.
        let names = [false, true, false, true].map(|of_target| asked.name(of_target));
        assert_eq!(
            names,
            ["metadata-2", "metadata", "metadata-3", "metadata-4"]
        );
        assert_eq!(Asked::default().name(false), "metadata-2");
    }

    /// What is kept when Python runs this, with the directory of all temporary ones as its argument.
    fn kept(script: &str) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let keep = KEEP.replace(ENTRY_POINTS, &at("kept").to_string_lossy());
        assert_ne!(keep, KEEP);
        fs::create_dir_all(at("start")).unwrap();
        fs::write(at("start/sitecustomize.py"), keep).unwrap();
        let setup = "import os, shutil, sys\nassert 'PYTHONPATH' not in os.environ\n\
            assert not any(path.endswith('/start') for path in sys.path)\nos.chdir(sys.argv[1])\n";
        let status = Command::new("python3")
            .args(["-c", &format!("{setup}{script}")])
            .arg(directory.path())
            .env("PYTHONPATH", at("start"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .status()
            .unwrap();
        assert!(status.success(), "{status}: {script}");
        fs::read_to_string(at("kept")).ok()
    }

    #[test]
    fn entry_points_are_kept_when_pip_removes_the_metadata() {
        let made = |directory: &str, inside: &str, put: &str| {
            let info = format!("{directory}/{inside}");
            let script = format!(
                "os.makedirs('{info}')\nos.chdir('{info}')\n{put}\nos.chdir(sys.argv[1])\n\
                shutil.rmtree('{directory}')\n"
            );
            kept(&script)
        };
        let put = "open('entry_points.txt', 'w').write('[a]\\nb = c\\n')";
        let points = Some("[a]\nb = c\n".to_owned());
        for (directory, inside, put, expected) in [
            ("pip-modern-metadata-x1", "a.dist-info", put, &points),
            ("pip-pip-egg-info-x1", "a.egg-info", put, &points),
            // It made metadata, and no entry points.
            (
                "pip-modern-metadata-x1",
                "a.dist-info",
                "",
                &Some(String::new()),
            ),
            ("pip-modern-metadata-x1", "other", put, &None),
            // What the sdist has itself may be of another time.
            ("pip-req-build-x1", "a.egg-info", put, &None),
            (
                "pip-modern-metadata-x1",
                "a.dist-info",
                "os.symlink('/etc/passwd', 'entry_points.txt')",
                &None,
            ),
            (
                "pip-modern-metadata-x1",
                "a.dist-info",
                "os.mkfifo('entry_points.txt')",
                &None,
            ),
        ] {
            let found = made(directory, inside, put);
            assert_eq!(&found, expected, "{directory}/{inside}: {put}");
        }
    }

    #[test]
    fn no_more_entry_points_are_kept_than_are_read() {
        let long = entry_points::LONGEST_FILE + 10;
        let script = format!(
            "os.makedirs('pip-modern-metadata-x/a.dist-info')\n\
            open('pip-modern-metadata-x/a.dist-info/entry_points.txt', 'w').write('#' * {long})\n\
            shutil.rmtree('pip-modern-metadata-x')\n"
        );
        // One byte more, so that it is known to be cut.
        let kept = kept(&script).map(|text| text.len());
        assert_eq!(kept, Some(entry_points::LONGEST_FILE + 1));
    }
}
