//! The metadata stage: what only a package's own build back end can tell, asked in a VM, traced.

mod points;
mod report;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use pyti_analyzer::StageFacts;
use pyti_graph::{Datum, Outputs};
use pyti_index::hook::{BoxFuture, HookError, HookRequest, MetadataHook};
use pyti_index::{ErrorKind, WheelhouseFile};
use serde::{Deserialize, Serialize};

use crate::memo::StageMemo;
use crate::order::{self, Order};
use crate::stages::Stages;
use crate::tasks::METADATA;
use crate::tasks::failure::kind_of;
pub use points::Made;

/// Where pip writes its report in the guest.
const REPORT: &str = "/home/dev/.cache/build-report.json";
/// Where our programs put the entry points, which that report does not tell; see [`points`].
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
    /// Names of the stages that are run or were run for that.
    names: BTreeSet<String>,
    /// The target's entry points, once its back end was asked.
    entry_points: Option<Made>,
    /// What it said that is not known here all the same, one sentence each.
    unknown: Vec<String>,
}

impl Asked {
    /// The name of the next stage: `metadata` is the target's own, `metadata-2` and so on are those of what
    /// it requires, also where the target itself need not be asked.
    fn name(&mut self, of_target: bool) -> String {
        let mut number = if of_target { 1 } else { 2 };
        loop {
            let name = match number {
                1 => METADATA.to_owned(),
                number => format!("{METADATA}-{number}"),
            };
            if self.names.insert(name.clone()) {
                return name;
            }
            number += 1;
        }
    }

    /// Gives a name back that came to nothing, for when the back end is asked again; not that of a stage
    /// which is on record.
    fn give_back(&mut self, name: &str, on_record: &[StageFacts]) {
        if !on_record.iter().any(|facts| facts.name == name) {
            self.names.remove(name);
        }
    }
}

/// What a back end told.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    /// The text of the METADATA file.
    text: String,
    /// Its entry points.
    entry_points: Made,
    /// What it said that pip does not tell, one sentence each.
    unknown: Vec<String>,
}

/// Asks nobody: what our own tools are made of is not worth a VM.
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
    /// The target's entry points, where its back end was asked.
    #[must_use]
    pub fn entry_points(&self) -> Option<Made> {
        self.asked().entry_points.clone()
    }

    /// What the target's back end said that is not known here all the same, one sentence each.
    #[must_use]
    pub fn unknown(&self) -> Vec<String> {
        self.asked().unknown.clone()
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
        let told = self.told(&name, request).await;
        if told.is_err() {
            let on_record = self.stages.record().facts.stages.clone();
            self.asked().give_back(&name, &on_record);
        }
        let told = told?;
        if of_target {
            let mut asked = self.asked();
            asked.entry_points = Some(told.entry_points);
            asked.unknown = told.unknown;
        }
        Ok(told.text)
    }

    /// What the back end says or said before, as the stage of this name.
    async fn told(&self, name: &str, request: &HookRequest) -> anyhow::Result<Told> {
        let template = self.stages.template(Arc::new(|_| {})).await?;
        let key = key(
            TOLD,
            request,
            &template.record().key,
            &self.stages.version()?,
        )?;
        let known = (!self.fresh)
            .then(|| self.memo.recall_datum(name, &key, TOLD))
            .flatten();
        if let Some(told) = known {
            return Ok(told);
        }
        let told = self.ask(name, request).await?;
        let outputs = Outputs::from([(TOLD.into(), Datum::of(&told)?)]);
        self.memo.keep(name, &key, &outputs);
        Ok(told)
    }

    async fn ask(&self, name: &str, request: &HookRequest) -> anyhow::Result<Told> {
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
        let mut order = Order::new(name, argv, self.stages.limits())?;
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
            (ENTRY_POINTS.to_owned(), points::LONGEST_FILE),
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
        let report = ran.files.get(REPORT).ok_or_else(|| {
            wrong(format!(
                "its build back end gave no metadata in the VM (stage {name})"
            ))
        })?;
        Ok(Told {
            text: match reports {
                true => report::metadata_text(report)?,
                false => String::from_utf8_lossy(report).into_owned(),
            },
            entry_points: points::made(ran.files.get(ENTRY_POINTS).map(Vec::as_slice)),
            unknown: match reports {
                true => report::unknown_licence(report).into_iter().collect(),
                false => vec![],
            },
        })
    }
}

/// What is made of pip's report and of the entry points beside it, for the fuzz targets.
#[doc(hidden)]
pub fn read_back(report: &[u8], points: &[u8]) -> (Result<String, HookError>, Made) {
    (report::metadata_text(report), points::made(Some(points)))
}

/// What the package's own back end did wrong.
fn wrong(reason: String) -> HookError {
    HookError {
        reason,
        kind: ErrorKind::Package,
    }
}

/// The digest of all that shapes what a build back end gives, be it metadata or whatever else `what` names.
pub(crate) fn key(
    what: &str,
    request: &HookRequest,
    template: &str,
    version: &str,
) -> anyhow::Result<String> {
    let wheelhouse = request.wheelhouse.iter();
    let files: Vec<_> = wheelhouse
        .map(|file| (&file.filename, &file.sha256))
        .collect();
    let asked = (
        what,
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

    use pyti_analyzer::StageStatus;
    use pyti_index::{EntryPoints, entry_points};

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

    #[test]
    fn a_stage_that_never_ran_is_tried_again_under_its_name() {
        let mut asked = Asked::default();
        let ran = |name: &str| StageFacts::new(name, StageStatus::Completed);
        let others = [ran("metadata-2"), ran("install")];
        assert_eq!(asked.name(false), "metadata-2");
        for _ in 0..3 {
            let name = asked.name(true);
            assert_eq!(name, "metadata");
            // As where there was no clone.
            asked.give_back(&name, &others);
        }
        asked.give_back("metadata-2", &others);
        assert_eq!(asked.name(false), "metadata-3");
        // One that is on record keeps its name.
        let name = asked.name(true);
        asked.give_back(&name, &[ran("metadata")]);
        assert_eq!(asked.name(true), "metadata-4");
    }

    /// What is kept when Python runs this, with the directory of all temporary ones as its argument.
    fn kept(script: &str) -> Option<Vec<u8>> {
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
        fs::read(at("kept")).ok()
    }

    /// What is made of it where a back end puts this into the directory of its metadata, which pip reads
    /// and removes.
    fn of_pip(directory: &str, inside: &str, put: &str) -> Made {
        let info = format!("{directory}/{inside}");
        let kept = kept(&format!(
            "os.makedirs('{info}')\nos.chdir('{info}')\nopen('PKG-INFO', 'w').close()\n{put}\n\
            os.chdir(sys.argv[1])\nopen('{info}/PKG-INFO').close()\n\
            shutil.rmtree('{directory}')\n"
        ));
        points::made(kept.as_deref())
    }

    /// Python that makes a file of entry points.
    const PUT: &str = "open('entry_points.txt', 'w').write('[a]\\nb = c\\n')";

    #[test]
    fn entry_points_are_kept_before_pip_removes_the_metadata() {
        let points = entry_points::parse("[a]\nb = c\n").unwrap();
        for (directory, inside, put, expected) in [
            ("pip-modern-metadata-x1", "a.dist-info", PUT, &points),
            ("pip-pip-egg-info-x1", "a.egg-info", PUT, &points),
            // A back end may call it anything.
            ("pip-modern-metadata-x1", "other", PUT, &points),
            // It made metadata, and no entry points.
            (
                "pip-modern-metadata-x1",
                "a.dist-info",
                "",
                &EntryPoints::new(),
            ),
        ] {
            let made = of_pip(directory, inside, put);
            assert_eq!(made.as_ref(), Ok(expected), "{directory}/{inside}: {put}");
        }
    }

    #[test]
    fn entry_points_that_cannot_be_kept_are_not_taken_for_none() {
        let long = entry_points::LONGEST_FILE + 1;
        let long = format!("open('entry_points.txt', 'w').write('#' * {long})");
        let plain = "entry_points.txt is no plain file";
        for (put, why) in [
            ("os.mkfifo('entry_points.txt')", plain),
            ("os.mkdir('entry_points.txt')", plain),
            (
                "os.symlink('/etc/passwd', 'entry_points.txt')",
                "entry_points.txt cannot be opened",
            ),
            (
                "os.symlink('/nowhere', 'entry_points.txt')",
                "entry_points.txt cannot be opened",
            ),
            (long.as_str(), "entry_points.txt is longer than 1 MiB"),
            (
                "open('entry_points.txt', 'w').write('[a')",
                "entry_points.txt cannot be understood",
            ),
            // What it puts there is no file that is brought back.
            (
                "os.makedirs(os.path.join(sys.argv[1], 'kept', 'a'))",
                "nothing was brought back of them",
            ),
        ] {
            let made = of_pip("pip-modern-metadata-x1", "a.dist-info", put);
            assert_eq!(made, Err(why.to_owned()), "{put}");
        }
        // What the sdist has itself may be of another time.
        let made = of_pip("pip-req-build-x1", "a.egg-info", PUT);
        let why = "pip read its metadata elsewhere".to_owned();
        assert_eq!(made, Err(why));
        let longest = format!(
            "open('entry_points.txt', 'w').write('#' * {})",
            entry_points::LONGEST_FILE
        );
        let made = of_pip("pip-modern-metadata-x1", "a.dist-info", &longest);
        assert_eq!(made, Ok(EntryPoints::new()));
    }

    #[test]
    fn what_a_back_end_puts_beside_them_is_not_taken_for_them() {
        let points = entry_points::parse("[a]\nb = c\n").unwrap();
        for decoy in [
            // The first by its name.
            "os.mkdir('../A.dist-info')\nopen('../A.dist-info/PKG-INFO', 'w').close()\n\
             open('../A.dist-info/entry_points.txt', 'w').write('[x]\\ny = z\\n')",
            "open(sys.argv[1] + '/kept', 'w').write('kept\\n[x]\\ny = z\\n')",
            "os.symlink('PKG-INFO', sys.argv[1] + '/kept')",
        ] {
            let put = format!("{PUT}\n{decoy}");
            let made = of_pip("pip-modern-metadata-x1", "a.dist-info", &put);
            assert_eq!(made.as_ref(), Ok(&points), "{decoy}");
        }
    }

    #[test]
    fn an_old_pips_setup_py_is_told_the_same_of() {
        let made = |put: &str| {
            let directory = tempfile::tempdir().unwrap();
            let program = order::guest_program(OLD);
            let functions = program.strip_suffix("\nmain()\n").unwrap();
            let script = format!(
                "{functions}\nos.chdir(sys.argv[1])\n{put}\n\
                open('told', 'wb').write(told('entry_points.txt'))\n"
            );
            let status = Command::new("python3")
                .args(["-c", &script])
                .arg(directory.path())
                .status()
                .unwrap();
            assert!(status.success(), "{status}: {put}");
            let file = fs::read(directory.path().join("told")).unwrap();
            points::made(Some(file.as_slice()))
        };
        assert_eq!(made(""), Ok(EntryPoints::new()));
        assert_eq!(made(PUT), Ok(entry_points::parse("[a]\nb = c\n").unwrap()));
        let long = entry_points::LONGEST_FILE + 1;
        let long = format!("open('entry_points.txt', 'w').write('#' * {long})");
        let plain = "entry_points.txt is no plain file";
        for (put, why) in [
            ("os.mkfifo('entry_points.txt')", plain),
            ("os.symlink('/etc/passwd', 'entry_points.txt')", plain),
            ("os.symlink('/nowhere', 'entry_points.txt')", plain),
            (long.as_str(), "entry_points.txt is longer than 1 MiB"),
        ] {
            assert_eq!(made(put), Err(why.to_owned()), "{put}");
        }
    }
}
