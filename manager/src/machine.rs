//! The image and template that an audit's clones come from.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use anyhow::{Context, Result, bail};
use pyti_vm::{Accel, Definition, Image, Interpreter, Template, VmConfig};

use crate::cli::AccelArg;
use crate::home::Home;
use crate::host_memory;

/// Memory that the guest needs beside what a stage may take, MiB: its kernel's and the agent's.
const GUEST_MIB: u64 = 480;
/// Of all memory the guest's kernel takes one part in so many to keep account of it: 64 bytes for a page of
/// 4096 (`struct page`, include/linux/mm_types.h).
const ACCOUNT: u64 = 64;
/// Memory of machines is a multiple of this, MiB: each size has a template of its own.
const STEP_MIB: u64 = 1024;

/// Hears what is being done.
pub type Listener = Arc<dyn Fn(&str) + Send + Sync>;

/// Who waits for an image, which another thread builds.
struct Waiting {
    listener: Listener,
    waits: Weak<()>,
}

impl pyti_vm::Progress for Waiting {
    fn step(&self, message: &str) {
        (self.listener)(message);
    }

    fn is_abandoned(&self) -> bool {
        self.waits.strong_count() == 0
    }
}

/// What is needed to make a template.
#[derive(Debug)]
pub struct Machine {
    home: pyti_vm::Home,
    definition: Definition,
    interpreter: Interpreter,
    agent: PathBuf,
    config: VmConfig,
}

impl Machine {
    /// The machine of this image.
    ///
    /// # Errors
    /// No agent, or a directory that cannot be made.
    pub fn new(home: &Home, definition: Definition, accel: AccelArg) -> Result<Self> {
        let accel = match accel {
            AccelArg::Auto => Accel::Auto,
            AccelArg::Kvm => Accel::Kvm,
            AccelArg::Tcg => Accel::Tcg,
            AccelArg::Counted => Accel::Counted,
        };
        let home = pyti_vm::Home::at(&home.cache)?;
        Ok(Self {
            interpreter: definition.interpreter()?,
            definition,
            home,
            agent: agent()?,
            config: VmConfig {
                accel,
                ..VmConfig::default()
            },
        })
    }

    /// With memory for stages that may take so many MiB each; never less than the usual.
    ///
    /// # Errors
    /// This host has less than a larger machine needs.
    pub fn with_stage_memory(mut self, mib: u64) -> Result<Self> {
        self.config.memory_mib = machine_mib(mib, host_memory::of_host_mib())?;
        Ok(self)
    }

    /// Whether the image is there, so that a template takes seconds and not minutes.
    #[must_use]
    pub fn is_built(&self) -> bool {
        Image::is_built(&self.home, &self.definition).unwrap_or(false)
    }

    /// The Python that packages are run with.
    #[must_use]
    pub fn interpreter(&self) -> &Interpreter {
        &self.interpreter
    }

    /// Memory of each clone, MiB.
    #[must_use]
    pub fn memory_mib(&self) -> u64 {
        self.config.memory_mib
    }

    /// The template, with image and boot where they are missing. Who drops this and lets the runtime's
    /// threads come to their end finds nothing left of an image that was being built.
    ///
    /// # Errors
    /// The image cannot be built or the VM does not boot.
    pub async fn template(&self, listener: Listener) -> Result<Template> {
        let (home, definition) = (self.home.clone(), self.definition.clone());
        // Gone when this future is dropped.
        let waits = Arc::new(());
        let waiting = Waiting {
            listener: Arc::clone(&listener),
            waits: Arc::downgrade(&waits),
        };
        let image =
            tokio::task::spawn_blocking(move || Image::obtain(&home, &definition, &waiting))
                .await
                .context("failed to make the guest image")?
                .context("failed to make the guest image")?;
        let tell = move |message: &str| listener(message);
        let template = Template::obtain(&self.home, &image, &self.agent, &self.config, &tell)
            .await
            .context("failed to make the VM ready")?;
        template
            .prepare()
            .await
            .context("failed to make the VM ready")?;
        Ok(template)
    }
}

/// Memory of a machine whose stages may take so much, MiB, on a host that has so much.
fn machine_mib(stage: u64, host: u64) -> Result<u64> {
    let with_account = ((stage + GUEST_MIB) * ACCOUNT).div_ceil(ACCOUNT - 1);
    let needed = with_account.next_multiple_of(STEP_MIB);
    let usual = VmConfig::default().memory_mib;
    if needed > host.max(usual) {
        bail!(
            "--memory {stage} needs a virtual machine of {needed} MiB, and this host has {host} MiB: lower it"
        );
    }
    Ok(needed.max(usual))
}

/// The definition that is meant: of an image's name or of a definition file's path, of the version
/// of Python that it has, or the usual one.
///
/// # Errors
/// There is none, or the two contradict each other.
pub fn definition(image: Option<&str>, python: Option<&str>) -> Result<Definition> {
    let builtin = Definition::builtin()?;
    let version =
        |definition: &Definition| -> Result<String> { Ok(definition.interpreter()?.to_string()) };
    let Some(image) = image else {
        let Some(python) = python else {
            return builtin.into_iter().next().context("no image is built in");
        };
        let mut versions = vec![];
        for definition in builtin {
            let has = version(&definition)?;
            if has == python {
                return Ok(definition);
            }
            versions.push(has);
        }
        bail!(
            "no image has Python {python}: take {}, or --image with the path of a definition file",
            versions.join(", ")
        );
    };
    let names: Vec<String> = builtin.iter().map(|known| known.name.clone()).collect();
    let found = builtin.into_iter().find(|known| known.name == image);
    let definition = match found {
        Some(definition) => definition,
        None if image.contains('/') => Definition::load(Path::new(image))?,
        None => bail!(
            "no image `{image}`: take {}, or the path of a definition file",
            names.join(", ")
        ),
    };
    let has = version(&definition)?;
    if let Some(python) = python.filter(|python| *python != has) {
        bail!("image {image} has Python {has}, not {python}: leave out --image or --python");
    }
    Ok(definition)
}

/// The agent: `$PYTI_AGENT`, or `pyti-guest-agent` beside this program.
///
/// # Errors
/// There is none.
pub fn agent() -> Result<PathBuf> {
    let path = match env::var_os("PYTI_AGENT") {
        Some(path) => PathBuf::from(path),
        None => env::current_exe()
            .context("failed to find this program's own file")?
            .with_file_name("pyti-guest-agent"),
    };
    if !path.is_file() {
        bail!(
            "no agent at {}: build it with `cargo xtask build`, or set PYTI_AGENT",
            path.display()
        );
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::{definition, machine_mib};

    #[test]
    fn a_machine_has_room_for_its_stage_and_the_guest() {
        for (stage, machine) in [
            (64, 2048),
            (1024, 2048),
            (1536, 2048),
            (1537, 3072),
            (2560, 4096),
            (32_768, 33_792),
        ] {
            assert_eq!(machine_mib(stage, u64::MAX).unwrap(), machine, "{stage}");
        }
    }

    #[test]
    fn a_machine_that_is_larger_than_its_host_is_refused() {
        // The usual one is tried on any.
        assert_eq!(machine_mib(1536, 1000).unwrap(), 2048);
        assert_eq!(machine_mib(2000, 3072).unwrap(), 3072);
        assert_eq!(
            machine_mib(2000, 3071).unwrap_err().to_string(),
            "--memory 2000 needs a virtual machine of 3072 MiB, and this host has 3071 MiB: lower it"
        );
    }

    #[test]
    fn an_image_is_picked_by_its_name_or_its_python() {
        for (image, python, expected) in [
            (None, None, "trixie"),
            (None, Some("3.13"), "trixie"),
            (None, Some("3.11"), "bookworm"),
            (None, Some("3.9"), "bullseye"),
            (None, Some("2.7"), "bullseye-python2"),
            (Some("bullseye"), None, "bullseye"),
            (Some("bookworm"), Some("3.11"), "bookworm"),
        ] {
            assert_eq!(definition(image, python).unwrap().name, expected);
        }
    }

    #[test]
    fn what_cannot_be_meant_gets_one_sentence() {
        for (image, python, expected) in [
            (
                Some("trixie"),
                Some("2.7"),
                "image trixie has Python 3.13, not 2.7: leave out --image or --python",
            ),
            (
                None,
                Some("3.12"),
                "no image has Python 3.12: take 3.13, 3.11, 3.9, 2.7, or --image with the path of a definition file",
            ),
            (
                Some("warty"),
                None,
                "no image `warty`: take trixie, bookworm, bullseye, bullseye-python2, or the path of a definition file",
            ),
        ] {
            let error = definition(image, python).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
