//! Ids and capabilities of a `struct cred`.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use pyti_trace_ebpf::{CREDENTIALS_SIZE, Credentials};

use super::Recorder;
use crate::kernel::{Ptr, inner, offset};

/// What cannot be read is missing in the record: no bit says so.
const UNMARKED: u32 = 0;
const IDS: usize = size_of::<[u64; 4]>();
const CAPABILITIES: usize = CREDENTIALS_SIZE - IDS;

impl Recorder {
    /// Appends them, as [`Credentials`].
    #[inline(always)]
    pub fn credentials(&mut self, tag: u16, cred: Ptr) {
        let ids = inner(cred, offset!(cred_uid));
        let capabilities = inner(cred, offset!(cred_inheritable));
        self.text(tag, UNMARKED, |at| {
            let to = at.cast::<Credentials>();
            // SAFETY: the helper checks the sources, the verifier the destinations.
            let failed = unsafe {
                bpf_probe_read_kernel((&raw mut (*to).ids).cast(), IDS as u32, ids)
                    | bpf_probe_read_kernel(
                        (&raw mut (*to).capabilities).cast(),
                        CAPABILITIES as u32,
                        capabilities,
                    )
            };
            match failed {
                0 => CREDENTIALS_SIZE as i64,
                error => error,
            }
        });
    }
}
