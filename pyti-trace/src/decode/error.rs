/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a record.
    #[error("a record ends after {have} of {need} bytes")]
    Truncated {
        /// Bytes there are.
        have: usize,
        /// Bytes there must be.
        need: usize,
    },
    /// The record says it has a size that no record has.
    #[error("a record of {0} bytes; records have {min} to {max}, in steps of 8", min = super::MIN_SIZE, max = super::MAX_SIZE)]
    Size(u32),
    /// The probes were built from another layout.
    #[error("a record of layout {0}; this program reads layout {known}", known = pyti_trace_ebpf::VERSION)]
    Version(u16),
    /// An event that this program does not know.
    #[error("a record of unknown kind {0}")]
    Kind(u16),
    /// A text that does not fit its record.
    #[error("a text of {len} bytes at {at} of a record of {size}")]
    Text {
        /// Where it begins.
        at: usize,
        /// Its length.
        len: usize,
        /// The record's size.
        size: usize,
    },
    /// A Python stack with too many frames, or a part of a frame where none can be.
    #[error("a Python stack of another layout")]
    Frames,
    /// A text of an unknown tag.
    #[error("a text of unknown tag {0}")]
    Tag(u16),
}
