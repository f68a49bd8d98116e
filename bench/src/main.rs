//! The benchmark's harness.
fn main() {}
