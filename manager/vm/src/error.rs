//! What can go wrong between a definition file and a running clone.

use std::{io, time::Duration};

use pyti_trace::wire::WireError;

/// Why an image, a template or a virtual machine could not be had.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// The operating system refused something.
    #[error("failed to {action}")]
    Io {
        /// What was tried, with the path where there is one.
        action: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A program that is needed is not installed.
    #[error("failed to run `{program}`: not found; type `apt-get install {package}`")]
    Program {
        /// Name of the program.
        program: &'static str,
        /// Debian package that holds it.
        package: &'static str,
    },
    /// A program ended with an error.
    #[error("`{program}` failed ({status}); its last words:\n{tail}")]
    Failed {
        /// Name of the program.
        program: &'static str,
        /// How it ended.
        status: String,
        /// Last lines of its standard error, escaped.
        tail: String,
    },
    /// An image definition that cannot be used.
    #[error("failed to read the image definition {origin}: {reason}")]
    Definition {
        /// Where it came from.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of ours does not hold what it should.
    #[error("failed to use {what}: {reason}")]
    Damaged {
        /// Which file.
        what: String,
        /// What is wrong, what to do.
        reason: String,
    },
    /// The virtual machine did not come up to the point where the agent says it is ready.
    #[error("failed to boot the virtual machine ({accel}, {waited:.1?}): {reason}")]
    Boot {
        /// `kvm` or `tcg`.
        accel: &'static str,
        /// How long it was given.
        waited: Duration,
        /// The hypervisor's and the kernel's last words, escaped.
        reason: String,
    },
    /// KVM was asked for and does not work here.
    #[error("failed to use KVM: {0}; take `--accel tcg` to emulate")]
    Kvm(String),
    /// The hypervisor refused a command or broke its protocol.
    #[error("failed to control the hypervisor: {0}")]
    Control(String),
    /// The agent's stream broke the protocol.
    #[error("failed to read the agent's stream")]
    Wire(#[from] WireError),
    /// The clone used up its wall time and was killed from outside.
    #[error("the virtual machine was killed after its wall time of {0:.0?}")]
    WallLimit(Duration),
    /// The input does not fit in the slot device.
    #[error("failed to attach an input of {size} bytes: at most {limit} fit in the slot")]
    InputTooLarge {
        /// Its size in bytes.
        size: u64,
        /// The slot's size in bytes.
        limit: u64,
    },
}

impl VmError {
    /// For `map_err`: an I/O error with what was tried.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}

/// The last `lines` lines of what a program or guest printed, with everything that could steer a
/// terminal escaped.
pub(crate) fn printable(bytes: &[u8], lines: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let all: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let tail = &all[all.len().saturating_sub(lines)..];
    tail.iter()
        .map(|line| {
            line.chars()
                .take(400)
                .flat_map(|c| {
                    let plain = !c.is_control() || c == '\t';
                    let escaped = (!plain).then(|| c.escape_default());
                    plain
                        .then_some(c)
                        .into_iter()
                        .chain(escaped.into_iter().flatten())
                })
                .collect::<String>()
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn printable_keeps_the_last_lines_and_escapes() {
        assert_eq!(printable(b"a\n\nb\x1b[2J\nc\td", 2), "b\\u{1b}[2J\nc\td");
    }
}
