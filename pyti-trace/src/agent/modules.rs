//! Loads the kernel modules that the initramfs brought.

use std::fs::{self, File};
use std::path::Path;

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

use super::error::{AgentError, Doing as _};

/// Loads the modules named in `order`, one file name per line, from the directory that holds it.
pub(super) fn load(directory: &Path) -> Result<(), AgentError> {
    let order = directory.join("order");
    let order = fs::read_to_string(&order).doing(|| format!("read {}", order.display()))?;
    for name in names(&order) {
        let path = directory.join(name);
        let file = File::open(&path).doing(|| format!("open the module {}", path.display()))?;
        match finit_module(&file, c"", ModuleInitFlags::empty()) {
            // Already there, or built in.
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error).doing(|| format!("load the module {name}")),
        }
    }
    Ok(())
}

fn names(order: &str) -> impl Iterator<Item = &str> {
    order
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn order_is_kept_and_blanks_are_skipped() {
        let order = "virtio_mmio.ko\n\n# root\n erofs.ko \noverlay.ko\n";
        let names: Vec<_> = names(order).collect();
        assert_eq!(names, ["virtio_mmio.ko", "erofs.ko", "overlay.ko"]);
    }
}
