//! Compiles the CRI description without protoc, and the two programs that become the built-in images.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, error, fs};

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo:rerun-if-changed=proto/cri_v1.proto");
    let files = protox::compile(["proto/cri_v1.proto"], ["proto"])?;
    tonic_prost_build::configure().build_server(false).compile_fds(files)?;

    let out = PathBuf::from(variable("OUT_DIR")?);
    program(&out, "pause", PAUSE)?;
    program(&out, "hello", HELLO)?;
    Ok(())
}

fn variable(name: &str) -> Result<OsString, Box<dyn error::Error>> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}").into())
}

/// No libc: raw system calls, a kilobyte of text, ten kilobytes resident per pod.
const PAUSE: &[&str] = &[
    "-Copt-level=s",
    "-Cpanic=abort",
    "-Crelocation-model=static",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-static",
    "-Clink-arg=-Wl,--build-id=none",
    "-Clink-arg=-Wl,-z,norelro",
    "-Clink-arg=-Wl,-n",
    "-Cstrip=symbols",
];

const HELLO: &[&str] = &["-Copt-level=s", "-Cpanic=abort", "-Ctarget-feature=+crt-static", "-Cstrip=symbols"];

fn program(out: &Path, name: &str, flags: &[&str]) -> Result<(), Box<dyn error::Error>> {
    let source = format!("programs/{name}.rs");
    println!("cargo:rerun-if-changed={source}");
    let target = variable("TARGET")?;
    let output = out.join(name);
    let status = Command::new(variable("RUSTC")?)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .args(["--edition=2024", "--crate-type=bin", "--crate-name", name])
        .arg("--target")
        .arg(&target)
        .args(flags)
        .arg("-o")
        .arg(&output)
        .arg(&source)
        .status()?;
    if !status.success() || fs::metadata(&output)?.len() == 0 {
        return Err(format!("rustc could not build {source} for {}: {status}", target.display()).into());
    }
    Ok(())
}
