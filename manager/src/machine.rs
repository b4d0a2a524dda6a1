//! The image and template that an audit's clones come from.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use pyti_vm::{Accel, Definition, Image, Template, VmConfig};

use crate::cli::AccelArg;
use crate::home::Home;

/// Hears what is being done.
pub type Listener = Arc<dyn Fn(&str) + Send + Sync>;

/// What is needed to make a template.
#[derive(Debug)]
pub struct Machine {
    home: pyti_vm::Home,
    definition: Definition,
    agent: PathBuf,
    config: VmConfig,
}

impl Machine {
    /// The machine of this image.
    ///
    /// # Errors
    /// An unknown image, no agent, or a directory that cannot be made.
    pub fn new(home: &Home, image: &str, accel: AccelArg) -> Result<Self> {
        let accel = match accel {
            AccelArg::Auto => Accel::Auto,
            AccelArg::Kvm => Accel::Kvm,
            AccelArg::Tcg => Accel::Tcg,
        };
        let home = pyti_vm::Home::at(&home.cache)?;
        Ok(Self {
            definition: definition(image)?,
            home,
            agent: agent()?,
            config: VmConfig {
                accel,
                ..VmConfig::default()
            },
        })
    }

    /// Whether the image is there, so that a template takes seconds and not minutes.
    #[must_use]
    pub fn is_built(&self) -> bool {
        Image::list(&self.home).is_ok_and(|images| {
            images
                .iter()
                .any(|image| image.record().definition == self.definition)
        })
    }

    /// The template, with image and boot where they are missing.
    ///
    /// # Errors
    /// The image cannot be built or the VM does not boot.
    pub async fn template(&self, listener: Listener) -> Result<Template> {
        let (home, definition) = (self.home.clone(), self.definition.clone());
        let teller = Arc::clone(&listener);
        let tell = move |message: &str| teller(message);
        let image = tokio::task::spawn_blocking(move || Image::obtain(&home, &definition, &tell))
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

/// The definition of this name: the built-in one, or the file that a path names.
fn definition(image: &str) -> Result<Definition> {
    let builtin = Definition::builtin()?;
    if image == builtin.name {
        return Ok(builtin);
    }
    if image.contains('/') {
        return Ok(Definition::load(Path::new(image))?);
    }
    bail!(
        "no image `{image}`: take {}, or the path of a definition file",
        builtin.name
    )
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
