//! What the tests of real machines share. They need the image, which is built where it is missing, and
//! the agent in `$PYTI_AGENT`.

use std::{env, os::unix::fs::symlink, path::PathBuf};

use pyti_vm::{Accel, Definition, Home, Image, Template, VmConfig};
use tempfile::TempDir;

/// The agent's program.
pub fn agent() -> PathBuf {
    let path = env::var_os("PYTI_AGENT").expect("set PYTI_AGENT to the agent's program");
    path.into()
}

/// The usual image of this home.
pub fn image(home: &Home) -> Image {
    let definitions = Definition::builtin().unwrap();
    Image::obtain(home, &definitions[0], &say).unwrap()
}

/// The usual template of this home, on what `accel` says.
pub async fn template(home: &Home, accel: Accel) -> Template {
    let config = VmConfig {
        accel,
        ..VmConfig::default()
    };
    let template = Template::obtain(home, &image(home), &agent(), &config, &say).await;
    template.unwrap()
}

fn say(message: &str) {
    eprintln!("{message}");
}

/// A home of its own with the images and this template of another, and nothing else in it yet.
pub fn own_home(home: &Home, template: &Template) -> (TempDir, Home) {
    let directory = tempfile::tempdir().unwrap();
    let link = |name: &str| symlink(home.root().join(name), directory.path().join(name)).unwrap();
    link("images");
    let own = Home::at(directory.path()).unwrap();
    link(&format!("templates/{}", template.record().key));
    if home.root().join("kvm.json").exists() {
        link("kvm.json");
    }
    (directory, own)
}
