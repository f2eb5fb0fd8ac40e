//! How a command can end other than well.

mod code;

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use muster_control::explain;
use muster_store::{Failure as DiskFailure, FailureKind, KeyError, OpenError};

pub(crate) use code::Code;

/// Why a command ended. What it says is for a person: what, where, what to do.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something went wrong; exit code 1.
    Failed(String),
    /// What was asked is not done, and nothing changed; exit code 2.
    Refused(String),
    /// One that an operator must act on; its page is `docs/errors/CODE.md`.
    Coded(Code, String),
}

impl Failure {
    /// Failed, with everything under `error`.
    pub(crate) fn failed(what: impl fmt::Display, error: &(dyn Error + 'static)) -> Self {
        Self::Failed(format!("{what}: {}", explain(error)))
    }

    /// A request to the API that did not succeed; one the API refuses changed nothing.
    pub(crate) fn api(what: impl fmt::Display, error: &kube::Error) -> Self {
        if let kube::Error::Api(status) = error
            && (400..500).contains(&status.code)
        {
            return Self::Refused(format!("{what}: {}", status.message));
        }
        Self::failed(what, error)
    }

    /// A data directory that is not opened.
    pub(crate) fn store(error: &OpenError) -> Self {
        let code = match error {
            OpenError::Directory { .. } | OpenError::Read { .. } | OpenError::Thread(_) => {
                Code::DataDirectoryUnusable
            }
            OpenError::Locked { .. } => Code::DataDirectoryHeld,
            OpenError::Format { .. } | OpenError::Decode { .. } => Code::StoreFormat,
            OpenError::Sealed { .. } | OpenError::Keys(_) => Code::DataKeysUnusable,
            OpenError::Corrupt { .. } | OpenError::Missing { .. } => Code::StoreDamaged,
            OpenError::Write(DiskFailure { kind: FailureKind::DiskFull, .. }) => Code::DiskFull,
            OpenError::Write(DiskFailure { kind: FailureKind::Disk, .. }) => Code::DataDirectoryUnusable,
        };
        Self::Coded(code, format!("cannot open the data directory: {}", explain(error)))
    }

    /// Keys of encrypted values that cannot be had.
    pub(crate) fn keys(error: &KeyError) -> Self {
        let text = format!("cannot have the keys of encrypted values: {}", explain(error));
        Self::Coded(Code::DataKeysUnusable, text)
    }

    /// The exit code of the contract.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(1),
            Self::Refused(_) => ExitCode::from(2),
            Self::Coded(code, _) => ExitCode::from(code.exit()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) | Self::Refused(text) => f.write_str(text),
            Self::Coded(code, text) => write!(f, "{text} [{}]", code.as_str()),
        }
    }
}
