//! Muster's own containerd: its files, its configuration, and the supervisor that keeps it running.

use std::path::{Path, PathBuf};

mod bringup;
pub mod probe;
mod process;
mod settings;
mod supervisor;

pub use bringup::{Bringup, BringupError};
pub use settings::{OciRuntime, Settings};
pub use supervisor::{Event, Limits, ServiceError, Started, Supervisor};

/// Where everything of the runtime lives, all of it below the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    dir: PathBuf,
}

/// `sun_path` holds 108 bytes with its closing zero (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    #[error(
        "the socket path {} has {length} bytes and the kernel allows {SOCKET_PATH_BYTES_MAX}: choose a data directory that is \
         at least {} bytes shorter",
        .path.display(), .length - SOCKET_PATH_BYTES_MAX
    )]
    SocketPathTooLong { path: PathBuf, length: usize },
    #[error("the data directory {} is not an absolute path: give it from the root", .path.display())]
    NotAbsolute { path: PathBuf },
}

impl Layout {
    /// # Errors
    /// A data directory below which no socket can be bound.
    pub fn new(data_dir: &Path) -> Result<Self, LayoutError> {
        if !data_dir.is_absolute() {
            return Err(LayoutError::NotAbsolute { path: data_dir.to_owned() });
        }
        let layout = Self { dir: data_dir.join("containerd") };
        let path = layout.ttrpc_socket();
        let length = path.as_os_str().len();
        if length > SOCKET_PATH_BYTES_MAX {
            return Err(LayoutError::SocketPathTooLong { path, length });
        }
        Ok(layout)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
    pub fn socket(&self) -> PathBuf {
        self.dir.join("c.sock")
    }
    fn ttrpc_socket(&self) -> PathBuf {
        self.dir.join("c.sock.ttrpc")
    }
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.toml")
    }
    pub fn log(&self) -> PathBuf {
        self.dir.join("containerd.log")
    }
    fn pid(&self) -> PathBuf {
        self.dir.join("pid.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_too_deep_for_a_socket_is_refused_with_how_much_to_cut() {
        let deep = PathBuf::from(format!("/{}", "d".repeat(90)));
        let error = Layout::new(&deep).unwrap_err();
        assert!(matches!(error, LayoutError::SocketPathTooLong { length: 115, .. }), "{error:?}");
        assert!(
            error.to_string().ends_with("choose a data directory that is at least 8 bytes shorter"),
            "{error}"
        );
        assert!(Layout::new(&PathBuf::from(format!("/{}", "d".repeat(82)))).is_ok());
    }

    #[test]
    fn a_relative_data_directory_is_refused() {
        assert_eq!(Layout::new(Path::new("x")), Err(LayoutError::NotAbsolute { path: PathBuf::from("x") }));
    }
}
