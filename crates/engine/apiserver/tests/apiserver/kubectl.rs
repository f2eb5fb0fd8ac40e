//! Real kubectl, where it can be had.

#[test]
fn placeholder() {}
