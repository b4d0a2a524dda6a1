//! Whether the agent still beats, whatever else comes from the VM.

use std::time::Duration;

use pyti_trace::wire::FrameKind;

use super::SILENCE;

/// Time that was waited for frames since the agent last beat, or sent what only it sends.
#[derive(Debug, Default)]
pub(super) struct Beats {
    waited: Duration,
}

impl Beats {
    /// Hears a frame for which the host waited so long; false where records and outputs keep coming and
    /// the agent has not beaten for [`SILENCE`]. The host's own work does not count: a slow host is not
    /// the agent's fault.
    pub(super) fn hear(&mut self, kind: FrameKind, waited: Duration) -> bool {
        match kind {
            FrameKind::Events | FrameKind::Stdout | FrameKind::Stderr => self.waited += waited,
            _ => self.waited = Duration::ZERO,
        }
        self.waited <= SILENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_package_does_is_no_heartbeat() {
        let mut beats = Beats::default();
        let half = SILENCE / 2;
        assert!(beats.hear(FrameKind::Events, half));
        assert!(beats.hear(FrameKind::Stdout, half));
        assert!(beats.hear(FrameKind::Heartbeat, half));
        assert!(beats.hear(FrameKind::Events, SILENCE));
        assert!(!beats.hear(FrameKind::Stderr, Duration::from_millis(1)));
    }
}
