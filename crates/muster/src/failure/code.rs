//! The codes of errors that an operator must act on. `cargo xtask tidy` holds that each has its page in `docs/errors`.

/// A code, as it is printed behind the message and names the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    ApiUnreachable,
    CannotListen,
    DataDirectoryHeld,
    DataDirectoryUnusable,
    DiskFull,
    KindsNotInstalled,
    LeadershipLost,
    NodeCannotRunContainers,
    NodeNeedsRoot,
    NodeNetworkUnusable,
    DataKeysUnusable,
    StoreDamaged,
    StoreFormat,
}

impl Code {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ApiUnreachable => "api-unreachable",
            Self::CannotListen => "cannot-listen",
            Self::DataDirectoryHeld => "data-directory-held",
            Self::DataDirectoryUnusable => "data-directory-unusable",
            Self::DiskFull => "disk-full",
            Self::KindsNotInstalled => "kinds-not-installed",
            Self::LeadershipLost => "leadership-lost",
            Self::NodeCannotRunContainers => "node-cannot-run-containers",
            Self::NodeNeedsRoot => "node-needs-root",
            Self::NodeNetworkUnusable => "node-network-unusable",
            Self::DataKeysUnusable => "data-keys-unusable",
            Self::StoreDamaged => "store-damaged",
            Self::StoreFormat => "store-format",
        }
    }

    /// 2 where nothing was changed, 1 otherwise.
    pub(crate) fn exit(self) -> u8 {
        match self {
            Self::CannotListen
            | Self::DataDirectoryHeld
            | Self::DataDirectoryUnusable
            | Self::DataKeysUnusable
            | Self::StoreDamaged
            | Self::StoreFormat => 2,
            Self::ApiUnreachable
            | Self::DiskFull
            | Self::KindsNotInstalled
            | Self::LeadershipLost
            | Self::NodeCannotRunContainers
            | Self::NodeNeedsRoot
            | Self::NodeNetworkUnusable => 1,
        }
    }
}
