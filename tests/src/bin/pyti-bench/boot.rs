//! What a clone saves: a boot.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum as _;
use pyti::cli::AccelArg;
use pyti::home::Home;
use pyti::machine::{self, Machine};
use pyti_vm::TemplateRecord;

/// Boots the machine of the template `of` anew: from its start to the agent's word that it is ready.
///
/// A home keeps what it has booted, so this is in another one, below `scratch`. Its images are those of
/// `home`, which are read and nothing else.
///
/// # Errors
/// It does not boot, or the image is not where it is looked for.
pub async fn cold(home: &Home, of: &TemplateRecord, scratch: &Path) -> Result<Duration> {
    let directory = tempfile::tempdir_in(scratch)?;
    symlink(home.cache.join("images"), directory.path().join("images"))
        .context("failed to share the images")?;
    let empty = Home {
        cache: directory.path().to_owned(),
        runs: directory.path().join("runs"),
    };
    // As the template's was chosen: nothing has to be proved a second time.
    let accel = AccelArg::from_str(&of.accel, false)
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("{} is no accelerator to boot with", of.accel))?;
    let machine = Machine::new(&empty, machine::definition(None, None)?, accel)?;
    ensure!(
        machine.is_built(),
        "the image is not shared: it would be built"
    );
    let template = machine.template(Arc::new(|_| {})).await?;
    let booted = template.record();
    ensure!(
        booted.key == of.key,
        "another machine was booted: {} instead of {}",
        booted.key,
        of.key
    );
    Ok(Duration::from_millis(booted.boot_ms))
}
