//! The event ABI: the layout of the records that the probes write and user space decodes.
#![no_std]
