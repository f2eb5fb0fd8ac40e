//! What a role brings to a machine beside settings of the kernel: packages, files, services. What each may be is judged
//! here by the text alone, for whoever is about to act on it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Packages of a role at most.
pub const PACKAGES_MAX: usize = 128;
/// Files of a role at most.
pub const FILES_MAX: usize = 32;
/// Bytes of a file at most.
pub const CONTENT_BYTES_MAX: usize = 32 << 10;
/// Services of a role at most.
pub const SERVICES_MAX: usize = 32;
/// Bytes of the name of a package, a version or a service at most.
const NAME_BYTES_MAX: usize = 128;
const PATH_BYTES_MAX: usize = 512;

/// Directories of `/etc` in which a role has no file: they decide who may log in and become root, what root runs by
/// itself and when, what every program loads, and where packages come from; or they are Muster's own.
const RESERVED: [&str; 59] = [
    "NetworkManager",
    "X11",
    "acpi",
    "alternatives",
    "apparmor",
    "apparmor.d",
    "apt",
    "binfmt.d",
    "ca-certificates",
    "cni",
    "cron.d",
    "cron.daily",
    "cron.hourly",
    "cron.monthly",
    "cron.weekly",
    "cron.yearly",
    "dbus-1",
    "default",
    "dhcp",
    "dpkg",
    "dracut.conf.d",
    "environment.d",
    "grub.d",
    "init.d",
    "initramfs-tools",
    "kernel",
    "kubernetes",
    "ld.so.conf.d",
    "logrotate.d",
    "modprobe.d",
    "modules-load.d",
    "muster",
    "network",
    "networkd-dispatcher",
    "pam.d",
    "pki",
    "polkit-1",
    "ppp",
    "profile.d",
    "rc0.d",
    "rc1.d",
    "rc2.d",
    "rc3.d",
    "rc4.d",
    "rc5.d",
    "rc6.d",
    "rcS.d",
    "security",
    "selinux",
    "skel",
    "ssh",
    "ssl",
    "sudoers.d",
    "sysctl.d",
    "systemd",
    "sysusers.d",
    "tmpfiles.d",
    "udev",
    "xdg",
];

/// Services that end or open the machine when they are started.
const ENDINGS: [&str; 14] = [
    "console-getty.service",
    "debug-shell.service",
    "emergency.service",
    "rescue.service",
    "systemd-exit.service",
    "systemd-halt.service",
    "systemd-hibernate.service",
    "systemd-hybrid-sleep.service",
    "systemd-kexec.service",
    "systemd-poweroff.service",
    "systemd-reboot.service",
    "systemd-soft-reboot.service",
    "systemd-suspend-then-hibernate.service",
    "systemd-suspend.service",
];

/// The rule of a role that none of its files is in a reserved directory. It stands on the role alone: the API server counts
/// what a rule costs in the worst case, and the steps of a run may hold many files.
pub(super) fn unreserved() -> String {
    format!(
        "!has(self.files) || self.files.all(f, !f.path.startsWith('/etc/') || !(f.path.split('/')[2] in {RESERVED:?}))"
    )
}

/// The rule of a role that none of its services ends or opens the machine.
pub(super) fn harmless() -> String {
    format!("!has(self.services) || self.services.all(s, !(s.name in {ENDINGS:?}))")
}

/// A package by name, and by version where it must be that one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version; none = the one the machine's sources have.
    pub version: Option<String>,
}

/// Why a text names no package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no package: write NAME or NAME=VERSION as Debian does, the name in lower case letters, digits, '+', '-', '.', beginning with a letter or digit and not ending in '-'"
)]
pub struct PackageFault {
    text: String,
}

impl Package {
    /// Reads `NAME` or `NAME=VERSION` (Debian policy 5.6.1 and 5.6.12). A dash at the end is refused although the policy
    /// has it, because `apt-get` takes it for the wish to remove.
    ///
    /// # Errors
    /// The text is no such thing.
    pub fn parse(text: &str) -> Result<Self, PackageFault> {
        let (name, version) =
            text.split_once('=').map_or((text, None), |(name, version)| (name, Some(version)));
        if is_package_name(name) && version.is_none_or(is_version) {
            return Ok(Self { name: name.to_owned(), version: version.map(str::to_owned) });
        }
        Err(PackageFault { text: text.chars().take(NAME_BYTES_MAX).collect() })
    }
}

fn is_package_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (2..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|byte| plain(byte) || b"+-.".contains(&byte))
        && !name.ends_with('-')
}

fn is_version(version: &str) -> bool {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.~".contains(&byte);
    version.len() <= NAME_BYTES_MAX
        && digits(epoch)
        && rest.bytes().next().is_some_and(|byte| byte.is_ascii_digit())
        && rest.bytes().all(plain)
}

/// A file with settings, written whole, owned by root. No secrets: whoever reads roles reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Absolute path below a directory of `/etc`, below `/usr/local/etc` or `/srv`; not below those directories of `/etc`
    /// that say who may become root, what root runs and what is installed.
    #[schemars(
        length(max = 512),
        regex(
            pattern = r"^/(etc/[A-Za-z0-9_][A-Za-z0-9_.@+,:-]*|usr/local/etc|srv)(/[A-Za-z0-9_][A-Za-z0-9_.@+,:-]*)+$"
        )
    )]
    pub path: String,
    /// Its text, at most 32 KiB.
    #[serde(default)]
    #[schemars(length(max = 32768))]
    pub content: String,
    /// Mode in four octal digits, without the right to execute and without that to write for others; empty = 0644.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4), regex(pattern = "^(0[46][04][04])?$"))]
    pub mode: String,
}

/// Why a file is none a role may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// Its path.
    #[error(
        "path {path:?}: a role's files lie below a directory of /etc, below /usr/local/etc or /srv, by an absolute path whose parts begin with a letter, a digit or '_'"
    )]
    Path {
        /// As it was asked for.
        path: String,
    },
    /// Its directory.
    #[error(
        "path {path:?}: /etc/{directory} is not for the files of a role, because it decides who may become root, what root runs or what is installed: bring this by a package or in the machine's image"
    )]
    Reserved {
        /// As it was asked for.
        path: String,
        /// Below `/etc`.
        directory: String,
    },
    /// Its mode.
    #[error(
        "path {path:?}: mode {mode:?} must be one of 0400, 0440, 0444, 0600, 0640, 0644 and their like: nobody executes it, only root writes it"
    )]
    Mode {
        /// Of the file.
        path: String,
        /// As it was asked for.
        mode: String,
    },
    /// Its size.
    #[error("path {path:?}: {bytes} bytes are more than {CONTENT_BYTES_MAX}: bring it by a package")]
    Large {
        /// Of the file.
        path: String,
        /// Of its text.
        bytes: usize,
    },
}

impl File {
    /// The bits of its mode, where all of it is what a role may have.
    ///
    /// # Errors
    /// The first thing about it that is not.
    pub fn check(&self) -> Result<u32, FileFault> {
        let path = || self.path.clone();
        if !is_path(&self.path) {
            return Err(FileFault::Path { path: self.path.chars().take(PATH_BYTES_MAX).collect() });
        }
        if let Some(directory) = reserved(&self.path) {
            return Err(FileFault::Reserved { path: path(), directory: directory.to_owned() });
        }
        if CONTENT_BYTES_MAX < self.content.len() {
            return Err(FileFault::Large { path: path(), bytes: self.content.len() });
        }
        let fault = || FileFault::Mode { path: path(), mode: self.mode.chars().take(8).collect() };
        match self.mode.as_bytes() {
            [] => Ok(0o644),
            [b'0', b'4' | b'6', b'0' | b'4', b'0' | b'4'] => {
                u32::from_str_radix(&self.mode, 8).map_err(|_| fault())
            }
            _ => Err(fault()),
        }
    }
}

fn is_path(path: &str) -> bool {
    let begins = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_part = |part: &str| {
        part.bytes().next().is_some_and(begins)
            && part.bytes().all(|byte| begins(byte) || b".@+,:-".contains(&byte))
    };
    let Some(path) = path.strip_prefix('/').filter(|path| path.len() < PATH_BYTES_MAX) else { return false };
    let parts: Vec<&str> = path.split('/').collect();
    let below =
        matches!(parts.as_slice(), ["etc", _, _, ..] | ["usr", "local", "etc", _, ..] | ["srv", _, ..]);
    below && parts.into_iter().all(is_part)
}

fn reserved(path: &str) -> Option<&str> {
    let directory = path.strip_prefix("/etc/")?.split('/').next()?;
    RESERVED.contains(&directory).then_some(directory)
}

/// A service of the system: a unit of systemd.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SystemService {
    /// Name of its unit with the ending: `.service`, `.socket` or `.timer`.
    #[schemars(
        length(max = 128),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9@:_.-]*\.(service|socket|timer)$")
    )]
    pub name: String,
    /// What is true of it.
    #[serde(default)]
    pub state: ServiceState,
}

/// What is true of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// It runs, and is started whenever the machine starts.
    #[default]
    Enabled,
    /// It runs. Whether it is started with the machine stays as it is.
    Running,
}

/// Why a service is none a role may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceFault {
    /// Its name.
    #[error(
        "name {name:?}: must be a unit of systemd with its ending (.service, .socket or .timer), in letters, digits, '@', ':', '_', '.', '-', beginning with a letter or digit"
    )]
    Name {
        /// As it was asked for.
        name: String,
    },
    /// What it is for.
    #[error(
        "name {name:?}: this service ends or opens the machine when it is started: use the verbs for power instead"
    )]
    Ending {
        /// As it was asked for.
        name: String,
    },
}

impl SystemService {
    /// Whether a role may have it.
    ///
    /// # Errors
    /// What about it is wrong.
    pub fn check(&self) -> Result<(), ServiceFault> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@:_.-".contains(&byte);
        let endings = [".service", ".socket", ".timer"];
        let is_unit = self.name.len() <= NAME_BYTES_MAX
            && self.name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
            && self.name.bytes().all(plain)
            && endings.iter().any(|ending| self.name.ends_with(ending));
        if !is_unit {
            return Err(ServiceFault::Name { name: self.name.chars().take(NAME_BYTES_MAX).collect() });
        }
        if ENDINGS.contains(&self.name.as_str()) {
            return Err(ServiceFault::Ending { name: self.name.clone() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
