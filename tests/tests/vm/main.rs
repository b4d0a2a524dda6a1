//! What only a VM shows. One program, so that no core waits for the last test of one group before the
//! next group begins.
#![expect(clippy::expect_used, reason = "what fails in a helper fails the test")]

mod accounting;
mod bad;
mod good;
mod guest;
mod hostile;
mod interrupts;
mod lifecycle;
mod record;
mod stages;
