//! Where upstream's modules are.

use std::path::PathBuf;
use std::process::Command;

/// The folder of a Go module in the module cache, or why there is none.
pub(crate) fn module(name: &str) -> Result<PathBuf, String> {
    let output = Command::new("go").args(["env", "GOMODCACHE"]).output();
    let output = output.map_err(|error| format!("go cannot be run: {error}"))?;
    let cache = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let folder = cache.join(name);
    if folder.is_dir() { Ok(folder) } else { Err(format!("{} is not there", folder.display())) }
}

/// Says on the test's output that a lane was skipped, and why.
pub(crate) fn skipped(lane: &str, why: &str) {
    use std::io::Write;
    let text = format!("{lane} skipped: {why}\n");
    std::io::stderr().write_all(text.as_bytes()).expect("standard error takes a line");
}
