//! What is on record of what a package did, and what is known to be missing.

mod actions;
mod evasions;
mod kernel_memory;
mod matrix;
mod stacks;
mod tracer;
