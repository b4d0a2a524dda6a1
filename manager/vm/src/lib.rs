//! Isolated virtual machines for packages that nobody trusts.
//!
//! An [`Image`] (root file system, kernel, modules) is built once by mmdebstrap. A [`Template`] is
//! that image booted to the point where the agent waits for work, saved to disk. A [`Vm`] is a
//! private copy-on-write clone of a template, thrown away after one stage.
//!
//! ```text
//! Definition → Image::obtain → Template::obtain → Template::start → Vm::send / Vm::next_frame
//! ```

mod accel;
mod cpu;
mod doctor;
mod error;
mod home;
mod image;
mod initramfs;
mod qemu;
mod ram;
mod shelf;
mod slot;
mod template;
mod vm;

pub use accel::Accel;
pub use cpu::tsc_khz;
pub use doctor::{Check, Outcome, Remedy, doctor};
pub use error::VmError;
pub use home::{Home, Progress};
pub use image::{Definition, Image, Interpreter, Record as ImageRecord};
pub use initramfs::Archive as Initramfs;
pub use qemu::{SLOT_BYTES, SLOT_SERIAL, control::Control};
pub use shelf::TemplateRecord;
pub use template::{StartOptions, Template, VmConfig};
pub use vm::{ExitReport, Usage, Vm};
