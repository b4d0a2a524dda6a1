//! What must be known of the host's processor.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

/// Rate of the time-stamp counter in kHz, measured against the monotonic clock.
///
/// An emulated guest reads the host's counter but finds no clock to measure it with: the microvm's
/// reduced ACPI makes the kernel skip the PIT (arch/x86/kernel/acpi/boot.c,
/// `acpi_generic_reduced_hw_init`), and it then waits for a tick that never comes. So it is told.
#[cfg(target_arch = "x86_64")]
pub fn tsc_khz() -> u64 {
    use core::arch::x86_64::_rdtsc;
    // SAFETY: every x86-64 processor has the instruction, and it touches no memory.
    let read = || (Instant::now(), unsafe { _rdtsc() });
    let (began, first) = read();
    sleep(Duration::from_millis(50));
    let (ended, last) = read();
    let nanoseconds = ended.duration_since(began).as_nanos().max(1);
    u64::try_from(u128::from(last.wrapping_sub(first)) * 1_000_000 / nanoseconds)
        .unwrap_or_default()
}

/// Name of the processor's model, from `/proc/cpuinfo`.
pub(crate) fn model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(": "))
        .map_or("unknown", |(_, model)| model)
        .to_owned()
}
