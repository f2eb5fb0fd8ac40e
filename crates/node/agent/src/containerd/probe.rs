//! What this machine can do for containers, and why not: facts read once, judged by a pure function.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::OciRuntime;

/// The cgroup hierarchies in sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cgroups {
    V1,
    /// v1 with an additional v2 hierarchy: runc works, crun refuses when controllers are bound to v2.
    Hybrid,
    V2,
    Absent,
}

/// Raw facts, as the kernel tells them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `/proc/self/status`.
    pub status: String,
    /// `/proc/self/mounts`.
    pub mounts: String,
    /// `/proc/filesystems`.
    pub filesystems: String,
    /// `/proc/sys/net/bridge/bridge-nf-call-iptables`, where there is one.
    pub bridge_filter: Option<String>,
    /// Where the programs were found.
    pub programs: Vec<PathBuf>,
    pub cni_bin_dir: Option<PathBuf>,
}

/// A point of the probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub what: &'static str,
    pub level: Level,
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Good,
    /// Works with less.
    Degraded,
    /// No pods can run.
    Missing,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Good => "ok",
            Level::Degraded => "degraded",
            Level::Missing => "MISSING",
        };
        write!(f, "{}: {level}: {}", self.what, self.detail)
    }
}

/// The judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    pub findings: Vec<Finding>,
    pub cgroups: Cgroups,
    pub restrict_oom_score: bool,
    /// Usable ones, the preferred first.
    pub runtimes: Vec<OciRuntime>,
    pub containerd: Option<PathBuf>,
    pub cni_bin_dir: Option<PathBuf>,
}

impl Capabilities {
    /// What keeps pods from running, each with its remedy. Empty when they can.
    pub fn missing(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.level == Level::Missing)
    }
}

const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYS_RESOURCE: u32 = 24;
const PROGRAM_DIRS: &[&str] =
    &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
const CNI_DIRS: &[&str] = &["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];
const PROGRAMS: &[&str] =
    &["containerd", "containerd-shim-runc-v2", "ctr", "crun", "runc", "nft", "iptables"];
const CNI_PLUGINS: &[&str] = &["bridge", "host-local", "loopback", "portmap"];

/// Reads the facts of this machine.
pub fn read() -> Facts {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let program =
        |name: &&str| PROGRAM_DIRS.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file());
    let complete = |dir: &&&str| CNI_PLUGINS.iter().all(|plugin| Path::new(dir).join(plugin).is_file());
    Facts {
        status: text("/proc/self/status"),
        mounts: text("/proc/self/mounts"),
        filesystems: text("/proc/filesystems"),
        bridge_filter: fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables").ok(),
        programs: PROGRAMS.iter().filter_map(program).collect(),
        cni_bin_dir: CNI_DIRS.iter().find(complete).map(PathBuf::from),
    }
}

/// Judges them.
pub fn judge(facts: &Facts) -> Capabilities {
    let cgroups = cgroups(&facts.mounts);
    let find = |name: &str| {
        facts.programs.iter().find(|path| path.file_name().is_some_and(|file| file == name)).cloned()
    };
    let runtimes = runtimes(cgroups, &find);
    let restrict_oom_score = !has_capability(&facts.status, CAP_SYS_RESOURCE);
    let findings = vec![
        root(&facts.status),
        program("containerd", find("containerd"), "apt-get install containerd"),
        shim(find("containerd-shim-runc-v2")),
        runtime_finding(&runtimes, cgroups),
        program("image import", find("ctr"), "apt-get install containerd (it brings ctr)"),
        cni(facts.cni_bin_dir.as_deref()),
        cgroup_finding(cgroups),
        root_mount(&facts.mounts),
        overlay(&facts.filesystems),
        oom_score(restrict_oom_score),
        bridge(facts.bridge_filter.as_deref()),
        optional("nftables", find("nft"), "services are not reachable: apt-get install nftables"),
        optional("iptables", find("iptables"), "hostPort does not work: apt-get install iptables"),
    ];
    Capabilities {
        findings,
        cgroups,
        restrict_oom_score,
        runtimes,
        containerd: find("containerd"),
        cni_bin_dir: facts.cni_bin_dir.clone(),
    }
}

fn has_capability(status: &str, bit: u32) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|set| set >> bit & 1 == 1)
}

fn cgroups(mounts: &str) -> Cgroups {
    let kinds: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    match (kinds.contains(&"cgroup"), kinds.contains(&"cgroup2")) {
        (true, true) => Cgroups::Hybrid,
        (true, false) => Cgroups::V1,
        (false, true) => Cgroups::V2,
        (false, false) => Cgroups::Absent,
    }
}

/// crun starts a pod a fifth faster and execs three times as fast, but refuses hybrid cgroups.
fn runtimes(cgroups: Cgroups, find: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<OciRuntime> {
    let order: &[&str] = match cgroups {
        Cgroups::V1 | Cgroups::V2 => &["crun", "runc"],
        Cgroups::Hybrid => &["runc"],
        Cgroups::Absent => &[],
    };
    order
        .iter()
        .filter_map(|name| Some(OciRuntime { name: (*name).to_owned(), program: find(name)? }))
        .collect()
}

fn finding(what: &'static str, level: Level, detail: impl Into<String>) -> Finding {
    Finding { what, level, detail: detail.into() }
}

fn root(status: &str) -> Finding {
    if has_capability(status, CAP_SYS_ADMIN) {
        return finding("privilege", Level::Good, "CAP_SYS_ADMIN");
    }
    finding("privilege", Level::Missing, "containers need CAP_SYS_ADMIN: run as root")
}

fn program(what: &'static str, path: Option<PathBuf>, remedy: &str) -> Finding {
    match path {
        Some(path) => finding(what, Level::Good, path.display().to_string()),
        None => finding(what, Level::Missing, format!("not installed: {remedy}")),
    }
}

fn shim(path: Option<PathBuf>) -> Finding {
    program("containerd shim", path, "apt-get install containerd")
}

fn optional(what: &'static str, path: Option<PathBuf>, lack: &str) -> Finding {
    match path {
        Some(path) => finding(what, Level::Good, path.display().to_string()),
        None => finding(what, Level::Degraded, lack),
    }
}

fn runtime_finding(runtimes: &[OciRuntime], cgroups: Cgroups) -> Finding {
    match (runtimes.first(), cgroups) {
        (Some(first), Cgroups::Hybrid) => finding(
            "OCI runtime",
            Level::Good,
            format!("{} (crun refuses hybrid cgroups)", first.program.display()),
        ),
        (Some(first), _) => finding("OCI runtime", Level::Good, first.program.display().to_string()),
        (None, _) => {
            finding("OCI runtime", Level::Missing, "neither crun nor runc is usable: apt-get install runc")
        }
    }
}

fn cni(dir: Option<&Path>) -> Finding {
    match dir {
        Some(dir) => finding("CNI plugins", Level::Good, dir.display().to_string()),
        None => finding(
            "CNI plugins",
            Level::Missing,
            "not installed: apt-get install containernetworking-plugins",
        ),
    }
}

fn cgroup_finding(cgroups: Cgroups) -> Finding {
    match cgroups {
        Cgroups::V1 => finding("cgroups", Level::Good, "v1"),
        Cgroups::Hybrid => finding("cgroups", Level::Good, "hybrid"),
        Cgroups::V2 => finding("cgroups", Level::Good, "v2"),
        Cgroups::Absent => finding(
            "cgroups",
            Level::Missing,
            "no cgroup is mounted (ip netns exec hides them: enter a network namespace with nsenter --net)",
        ),
    }
}

/// A runtime changes the propagation of `/` in the container's namespace, and the kernel does that to mount points alone.
fn root_mount(mounts: &str) -> Finding {
    if mounts.lines().any(|line| line.split(' ').nth(1) == Some("/")) {
        return finding("root file system", Level::Good, "a mount point");
    }
    finding(
        "root file system",
        Level::Missing,
        "/ is no mount point, as in a plain chroot, and containers cannot start in one: outside, mount --bind DIR DIR, then chroot DIR",
    )
}

fn overlay(filesystems: &str) -> Finding {
    if filesystems.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay") {
        return finding("overlayfs", Level::Good, "in the kernel");
    }
    finding("overlayfs", Level::Missing, "the kernel has no overlayfs: modprobe overlay")
}

fn oom_score(restrict: bool) -> Finding {
    if restrict {
        let lack = "no CAP_SYS_RESOURCE: guaranteed pods are not spared by the OOM killer, hard limits cannot be raised";
        return finding("OOM scores", Level::Degraded, lack);
    }
    finding("OOM scores", Level::Good, "CAP_SYS_RESOURCE")
}

fn bridge(filter: Option<&str>) -> Finding {
    match filter.map(str::trim) {
        Some("1") => finding("br_netfilter", Level::Good, "bridged traffic passes the service rules"),
        Some(_) => finding(
            "br_netfilter",
            Level::Degraded,
            "off: a pod cannot reach a service whose endpoint is on its own bridge: sysctl net.bridge.bridge-nf-call-iptables=1",
        ),
        None => {
            finding("br_netfilter", Level::Degraded, "the kernel has no br_netfilter: modprobe br_netfilter")
        }
    }
}

#[cfg(test)]
mod tests;
