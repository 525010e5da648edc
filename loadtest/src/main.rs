//! Load-test harness for Supportal Gateway.
fn main() {}
