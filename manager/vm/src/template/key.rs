//! The name of a template, made from everything that shaped it: what was changed is booted anew.

use sha2::{Digest, Sha256};

use crate::image::hex;

/// Part of every key: raise it when templates are saved in another way.
pub(super) const FORMAT: u32 = 2;

/// What counts.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    /// How templates are saved.
    pub format: u32,
    /// The kernel's digest.
    pub kernel: &'a str,
    /// The root file system's digest.
    pub root: &'a str,
    /// The initial RAM file system, which holds the agent.
    pub initramfs: &'a [u8],
    /// The hypervisor and its version.
    pub version: &'a str,
    /// The host's processor: a saved state may ask for what only that one can.
    pub processor: &'a str,
    /// What the hypervisor is told of the machine.
    pub arguments: &'a [String],
}

impl Parts<'_> {
    /// The key of what these make.
    pub(super) fn key(&self) -> String {
        let mut hash = Sha256::new();
        // With the length before each, no two lists of parts run together to the same bytes.
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        add(&self.format.to_le_bytes());
        add(self.kernel.as_bytes());
        add(self.root.as_bytes());
        add(self.initramfs);
        add(self.version.as_bytes());
        add(self.processor.as_bytes());
        for argument in self.arguments {
            add(argument.as_bytes());
        }
        hex(&hash.finalize())[..16].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn each_part_that_changes_makes_another_key() {
        let words = |words: &[&str]| -> Vec<String> {
            words.iter().map(|word| (*word).to_owned()).collect()
        };
        let arguments = words(&["-smp", "2"]);
        let parts = Parts {
            format: 1,
            kernel: "1f",
            root: "2f",
            initramfs: b"agent",
            version: "QEMU 7.2",
            processor: "Xeon",
            arguments: &arguments,
        };
        let more_processors = words(&["-smp", "4"]);
        let one_more = words(&["-smp", "2", "-S"]);
        let run_together = words(&["-smp2"]);
        let of_arguments = |arguments| Parts { arguments, ..parts };
        let others = [
            ("format", Parts { format: 2, ..parts }),
            (
                "kernel",
                Parts {
                    kernel: "1e",
                    ..parts
                },
            ),
            (
                "root",
                Parts {
                    root: "2e",
                    ..parts
                },
            ),
            (
                "kernel and root, each in the other's place",
                Parts {
                    kernel: parts.root,
                    root: parts.kernel,
                    ..parts
                },
            ),
            (
                "initramfs",
                Parts {
                    initramfs: b"agenT",
                    ..parts
                },
            ),
            (
                "version",
                Parts {
                    version: "QEMU 10.0",
                    ..parts
                },
            ),
            (
                "processor",
                Parts {
                    processor: "EPYC",
                    ..parts
                },
            ),
            ("an argument", of_arguments(&more_processors)),
            ("one argument more", of_arguments(&one_more)),
            ("arguments that run together", of_arguments(&run_together)),
        ];
        let mut keys = HashMap::from([(parts.key(), "nothing")]);
        for (what, other) in others {
            assert_eq!(keys.insert(other.key(), what), None, "{what}");
        }
    }
}
