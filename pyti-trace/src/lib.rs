//! PyTI's tracer: the typed event, the decoder of the probes' records, the wire protocol between
//! the agent in the VM and the host, how an event is named and shown, (feature `loader`) what loads
//! the probes into a kernel, and (feature `host`) the tracer alone, on the host itself.

#[cfg(feature = "agent")]
pub mod agent;
pub mod decode;
pub mod describe;
pub mod dns;
pub mod event;
#[cfg(feature = "host")]
pub mod host;
pub mod internal_error;
#[cfg(feature = "loader")]
pub mod loader;
pub mod names;
pub mod text;
pub mod wire;
