//! How the program is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The places that are made to fit where the program is loaded are 90 times shorter so: two megabytes less that every
    // start reads and keeps. glibc knows the form since 2.36.
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
}
