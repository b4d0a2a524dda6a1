//! PyTI's tracer: the typed event, the decoder of the probes' records, the wire protocol between
//! the agent in the VM and the host, and (feature `loader`) what loads the probes into a kernel.

pub mod event;
pub mod wire;
