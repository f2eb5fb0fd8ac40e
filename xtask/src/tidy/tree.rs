//! The tracked and not ignored files of the working tree, and what kind each is.
use std::path::{Path, PathBuf};
use std::process::Command;

use super::dependencies::Crate;
use super::finding::{Finding, Rule};

#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    #[error("`git {command}` failed: {stderr}")]
    Git { command: String, stderr: String },
    #[error("`git {command}` cannot be started")]
    GitStart {
        command: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} cannot be read: {source}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cargo metadata failed: {0}")]
    Metadata(#[from] cargo_metadata::Error),
}

/// The files of a working tree; paths are relative to its top, with `/`.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    paths: Vec<String>,
}

/// One Rust file, parsed once for all rules.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
    pub(super) syntax: syn::File,
}

impl Source {
    /// True for a file that holds nothing but tests.
    pub(super) fn is_test(&self) -> bool {
        is_test_path(&self.path)
    }
}

/// `tests/…`, `foo/tests.rs`, `foo/tests/bar.rs`, benches.
pub(super) fn is_test_path(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs" || part == "benches")
}

/// The folder of the crate that a source belongs to: what stands before `src/` or `tests/`.
pub(super) fn crate_folder(path: &str) -> &str {
    ["/src/", "/tests/", "/benches/"].iter().find_map(|mark| path.find(mark)).map_or(path, |end| &path[..end])
}

impl Tree {
    pub(super) fn read(root: &Path) -> Result<Tree, TreeError> {
        let listed = git(root, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        let mut paths: Vec<String> =
            listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
        paths.retain(|path| root.join(path).is_file());
        paths.sort();
        paths.dedup();
        Ok(Tree { root: root.to_owned(), paths })
    }

    pub(super) fn paths(&self) -> &[String] {
        &self.paths
    }

    /// True for a file or a folder that is there, ignored or not.
    pub(super) fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// The text of a file; `None` when it is not there or not text.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        std::fs::read(self.root.join(path)).ok().and_then(|bytes| String::from_utf8(bytes).ok())
    }

    /// The text of a file that must be there.
    pub(super) fn require_text(&self, path: &str) -> Result<String, TreeError> {
        let absolute = self.root.join(path);
        std::fs::read_to_string(&absolute).map_err(|source| TreeError::Read { path: absolute, source })
    }

    /// The file as the commit before the work in hand has it: HEAD if the file was changed since, else HEAD's parent.
    pub(super) fn earlier(&self, path: &str) -> Result<Option<String>, TreeError> {
        let changed = !git(&self.root, &["status", "--porcelain", "--", path])?.is_empty();
        let commit = if changed { "HEAD" } else { "HEAD^" };
        let object = format!("{commit}:{path}");
        if git(&self.root, &["cat-file", "-e", &object]).is_err() {
            return Ok(None);
        }
        git(&self.root, &["show", &object]).map(Some)
    }

    /// Every Rust file that parses; one that does not becomes a finding.
    pub(super) fn rust_sources(&self, findings: &mut Vec<Finding>) -> Result<Vec<Source>, TreeError> {
        let mut sources = Vec::new();
        for path in self.paths.iter().filter(|path| path.ends_with(".rs")) {
            let text = self.require_text(path)?;
            match syn::parse_file(&text) {
                Ok(syntax) => sources.push(Source { path: path.clone(), text, syntax }),
                Err(error) => findings.push(Finding {
                    subject: path.clone(),
                    line: Some(error.span().start().line),
                    rule: Rule::Parse,
                    measure: None,
                    what: format!("not Rust: {error}"),
                    remedy: "mend the syntax",
                }),
            }
        }
        Ok(sources)
    }

    /// The workspace's own packages and what they name in their manifests.
    pub(super) fn crates(&self) -> Result<Vec<Crate>, TreeError> {
        let metadata = cargo_metadata::MetadataCommand::new().current_dir(&self.root).no_deps().exec()?;
        Ok(metadata.packages.iter().map(Crate::from).collect())
    }
}

fn git(root: &Path, arguments: &[&str]) -> Result<String, TreeError> {
    let command = arguments.join(" ");
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output()
        .map_err(|source| TreeError::GitStart { command: command.clone(), source })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(TreeError::Git { command, stderr });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{crate_folder, is_test_path};

    #[test]
    fn test_files_are_known_by_their_path() {
        for path in
            ["crates/a/tests/a/main.rs", "crates/a/src/plan/tests.rs", "crates/a/src/plan/tests/deep.rs"]
        {
            assert!(is_test_path(path), "{path}");
        }
        for path in ["crates/a/src/plan.rs", "crates/a/src/attests.rs", "xtask/src/main.rs"] {
            assert!(!is_test_path(path), "{path}");
        }
    }

    #[test]
    fn a_source_belongs_to_the_crate_above_its_src() {
        assert_eq!(crate_folder("crates/engine/store/src/log/frame.rs"), "crates/engine/store");
        assert_eq!(crate_folder("crates/engine/store/tests/store/main.rs"), "crates/engine/store");
        assert_eq!(crate_folder("xtask/src/main.rs"), "xtask");
    }
}
