//! `pyti`.
fn main() {}
