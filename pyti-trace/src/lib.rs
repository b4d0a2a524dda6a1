//! PyTI's tracer: the typed event, the decoder of the probes' records, the wire protocol between
//! the agent in the VM and the host, and (feature `loader`) what loads the probes into a kernel.

#[cfg(feature = "agent")]
pub mod agent;
pub mod decode;
pub mod event;
#[cfg(feature = "loader")]
pub mod loader;
pub mod wire;
