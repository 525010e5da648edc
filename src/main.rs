//! The `supportal` server binary.
fn main() {}
