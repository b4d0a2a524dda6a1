/// Why the probes could not be loaded or read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel has no BTF, or it cannot be read.
    #[error("failed to read {path}; boot a kernel built with CONFIG_DEBUG_INFO_BTF")]
    ReadBtf {
        /// The file.
        path: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The kernel's BTF is not what its format says.
    #[error("failed to parse the kernel's BTF: {0}")]
    Btf(&'static str),
    /// A structure or field that the probes read is not in this kernel.
    #[error("failed to find the kernel field {0}; the probes do not fit this kernel")]
    Field(&'static str),
    /// aya refused the kernel's BTF.
    #[error("failed to parse the kernel's BTF")]
    AyaBtf(#[from] aya::BtfError),
    /// The kernel refused the object.
    #[error("failed to load the probes; root and CONFIG_BPF_SYSCALL are needed")]
    Object(#[source] Box<aya::EbpfError>),
    /// A hook without which the record is not worth having.
    #[error("failed to attach the probe {program} to {to}: {reason}")]
    Hook {
        /// Name of the program.
        program: &'static str,
        /// The hook.
        to: &'static str,
        /// The kernel's reason, with the end of the verifier's log.
        reason: String,
    },
    /// The object lacks a map: it belongs to another build.
    #[error("failed to find the map {0} in the probes")]
    MissingMap(&'static str),
    /// A map could not be read or written.
    #[error("failed to use the map {name}")]
    Map {
        /// Its name.
        name: &'static str,
        /// Why.
        source: aya::maps::MapError,
    },
    /// What a program missed is not known.
    #[error("failed to read how many runs of {program} were skipped: {reason}")]
    Misses {
        /// Name of the program.
        program: String,
        /// Why.
        reason: String,
    },
    /// A program stays in the kernel.
    #[error("failed to take the probe {program} out of the kernel: {reason}")]
    Unload {
        /// Name of the program.
        program: String,
        /// Why.
        reason: String,
    },
    /// The kernel does not count how long programs run.
    #[error("failed to have the kernel count the probes' runs")]
    Timing(#[source] aya::sys::SyscallError),
    /// The process to track is not there.
    #[error("failed to read the parent of process {tgid}: {reason}")]
    Process {
        /// Its thread group.
        tgid: u32,
        /// Why.
        reason: String,
    },
}
