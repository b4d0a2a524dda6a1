//! All of an audit by a user who is not root, from the boot of a template on. The other tests are run by
//! whoever runs them all, which in continuous integration is root.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use pyti::home::Home;
use pyti::machine::{agent, definition};
use pyti_index::{IndexConfig, Options, Quiet};
use pyti_tests::place::Place;
use pyti_tests::{package, pyti, text};
use pyti_vm::Image;
use serde_json::{Value, json};

/// User and group `nobody`.
const NOBODY: u32 = 65_534;

/// Somebody who is not root.
#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// Whoever runs this test, or nobody where that is root.
    fn ordinary() -> Result<Self> {
        let own = fs::metadata("/proc/self").context("no /proc")?;
        Ok(match own.uid() {
            0 => Self {
                uid: NOBODY,
                gid: NOBODY,
            },
            uid => Self {
                uid,
                gid: own.gid(),
            },
        })
    }

    /// Makes the directory where it is missing; it is this user's then.
    fn owns(self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        chown(directory, Some(self.uid), Some(self.gid))
    }

    /// Hands over a file, or a directory with all that is in it. Images are large: where everybody may
    /// read a file it is linked, and stays whose it is.
    fn gets(self, from: &Path, to: &Path) -> io::Result<()> {
        let metadata = from.metadata()?;
        if metadata.is_dir() {
            self.owns(to)?;
            for entry in from.read_dir()? {
                let name = entry?.file_name();
                self.gets(&from.join(&name), &to.join(&name))?;
            }
            return Ok(());
        }
        let for_everybody = metadata.mode() & 0o004 != 0;
        if for_everybody && fs::hard_link(from, to).is_ok() {
            return Ok(());
        }
        fs::copy(from, to)?;
        chown(to, Some(self.uid), Some(self.gid))
    }

    /// A place of this user's with the programs, a package, the usual image and the resolver. Where they
    /// usually are is not for others to see.
    async fn place(self, of_package: &str) -> Result<Place> {
        let usual = Home::find()?.cache;
        let image = Image::obtain(
            &pyti_vm::Home::at(&usual)?,
            &definition(None, None)?,
            &|_: &str| {},
        )?;
        let options = Options::new(usual.clone(), IndexConfig::discover(None, &[])?);
        pyti_index::fetch_uv(&options, Arc::new(Quiet)).await?;
        let place = Place::empty()?;
        for name in ["", "temporary", "home", "home/images", "bin"] {
            self.owns(&place.path(name))?;
        }
        let image_place = place.path("home/images").join(image.id());
        self.gets(image.directory(), &image_place)?;
        // Not there where the resolver is on the PATH.
        let tools = usual.join("tools");
        if tools.exists() {
            self.gets(&tools, &place.path("home/tools"))?;
        }
        self.gets(Path::new(pyti().get_program()), &place.path("bin/pyti"))?;
        self.gets(&agent()?, &place.path("bin/pyti-guest-agent"))?;
        self.gets(&package(of_package), &place.path("package"))?;
        Ok(place)
    }

    /// Audits what is in this user's place, with nothing of the home of whoever runs this test.
    fn audits(self, place: &Place) -> io::Result<Output> {
        Command::new(place.path("bin/pyti"))
            .args(["audit", "--format", "json"])
            .arg(place.path("package"))
            .env("PYTI_HOME", place.path("home"))
            .env("HOME", place.path("home"))
            .env("TMPDIR", place.path("temporary"))
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("PYTI_AGENT")
            .current_dir(place.path("home"))
            .uid(self.uid)
            .gid(self.gid)
            .output()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_ordinary_user_boots_a_template_and_audits() {
    let user = User::ordinary().expect("no user");
    let place = user.place("good/pure-pyproject").await.expect("no place");
    let output = user.audits(&place).expect("failed to start pyti");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("no JSON");
    assert_eq!(report["verdict"], "unremarkable", "{report:#}");
    assert_eq!(report["findings"], json!([]), "{report:#}");
    let stages = report["stages"].as_array().expect("no stages");
    let install = stages.iter().find(|stage| stage["name"] == "install");
    let status = &install.expect("no install stage")["status"];
    assert_eq!(*status, json!({"state": "completed"}), "{report:#}");
    // There was no template, and it was this user who made one.
    let templates = place.names("home/templates");
    assert!(!templates.is_empty(), "{stderr}");
    for template in templates {
        let saved = place.path("home/templates").join(template).join("ram");
        assert_eq!(saved.metadata().expect("no template").uid(), user.uid);
    }
    assert_eq!(place.under_way(), [""; 0]);
}
