//! Package index client.
