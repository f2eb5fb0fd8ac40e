//! `cargo xtask check`: every stage in order, the first that fails ends it.
use std::path::Path;
use std::process::Command;

use crate::tidy;

const STAGES: &[(&str, &[&str])] = &[
    ("format", &["fmt", "--all", "--check"]),
    ("lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    ("tests", &["test", "--workspace"]),
];

/// Runs tidy (it is quick), then format, lints and tests.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    tidy::run(root).map_err(|error| error.to_string())?;
    for (stage, arguments) in STAGES {
        let status = Command::new("cargo")
            .args(*arguments)
            .current_dir(root)
            .status()
            .map_err(|error| format!("check: cargo cannot be started for {stage}: {error}"))?;
        if !status.success() {
            return Err(format!(
                "check: {stage} failed: run `cargo {}` and mend what it says",
                arguments.join(" ")
            ));
        }
    }
    Ok(())
}
