//! `pyti image`.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use pyti_vm::{Definition, Image, Template};

use crate::cli::{AccelArg, ImageCommand, ProgressArg};
use crate::home::Home;
use crate::interrupt::Interrupt;
use crate::machine::{self, Machine};
use crate::progress::Progress;

/// Builds, lists or removes.
pub async fn run(command: ImageCommand, home: &Home, out: &mut impl Write) -> Result<()> {
    match command {
        ImageCommand::Build { name } => {
            let interrupt = Interrupt::listen().context("failed to listen for Ctrl-C")?;
            let progress = Arc::new(Progress::new(ProgressArg::Auto));
            let definition = machine::definition(Some(&name), None)?;
            let machine = Machine::new(home, definition, AccelArg::Auto)?;
            let what = format!("image {name}");
            progress.start(&what);
            let (listener, told) = (Arc::clone(&progress), what.clone());
            let listener = Arc::new(move |message: &str| listener.detail(&told, message));
            let made = tokio::select! {
                made = machine.template(listener) => made.map(drop),
                () = interrupt.wait() => Err(anyhow!("interrupted before the image was ready")),
            };
            progress.end(&what, if made.is_ok() { "is ready" } else { "failed" });
            made?;
        }
        ImageCommand::List => {
            let home = pyti_vm::Home::at(&home.cache)?;
            let templates = Template::list(&home)?;
            for image in Image::list(&home)? {
                let record = image.record();
                let count = templates
                    .iter()
                    .filter(|template| template.image == image.id())
                    .count();
                writeln!(
                    out,
                    "{}  Python {}  kernel {}  {} MiB  {count} template{}",
                    image.id(),
                    // Those of earlier versions may not say.
                    record
                        .definition
                        .interpreter()
                        .map_or_else(|_| "?".to_owned(), |python| python.to_string()),
                    record.kernel,
                    record.root_bytes >> 20,
                    if count == 1 { "" } else { "s" },
                )?;
            }
            for definition in Definition::builtin()? {
                if !Image::is_built(&home, &definition)? {
                    let python = definition.interpreter()?;
                    writeln!(out, "{}  Python {python}  not built", definition.name)?;
                }
            }
        }
        ImageCommand::Rm { name } => {
            let home = pyti_vm::Home::at(&home.cache)?;
            let mut found = false;
            for image in Image::list(&home)? {
                if image.id() != name && image.record().definition.name != name {
                    continue;
                }
                found = true;
                for template in Template::list(&home)? {
                    if template.image == image.id() {
                        Template::remove(&home, &template.key)?;
                    }
                }
                image.remove()?;
            }
            if !found {
                bail!("no image `{name}`: `pyti image list` names those that are built");
            }
        }
    }
    Ok(())
}
