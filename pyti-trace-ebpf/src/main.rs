//! The probes. Each family is one file; `record` is what they write, `track` is whom they watch.
//!
//! Offsets of kernel fields come from the running kernel's BTF through [`kernel::OFFSETS`].
//! A hook that has arguments to resolve and another that knows the result fill the same slot of
//! the thread: the first one begins the record, the second one emits it.
#![no_std]
#![no_main]
// The build script shows no warning of what it builds.
#![deny(unused)]

mod attribute;
mod entry;
mod exec;
mod file;
mod kernel;
mod lines;
mod lost;
mod memory;
mod network;
mod page;
mod path;
mod privilege;
mod process;
mod python;
mod recorder;
mod repeat;
mod send;
mod splice;
mod tamper;
mod track;
mod user;
mod view;
mod write;
mod write_queued;

/// The verifier lets programs call the helpers used here only under a licence compatible with the GPL.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
