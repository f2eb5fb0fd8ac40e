//! Whether the kernel has a feature, and how we know.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;

/// What tells about a feature: a file that is there when it is loaded, its configuration symbol, its module.
struct Feature {
    name: &'static str,
    file: &'static str,
    symbol: &'static str,
    module: &'static str,
}

const FEATURES: &[Feature] = &[
    Feature { name: "overlayfs", file: "", symbol: "CONFIG_OVERLAY_FS", module: "overlay" },
    Feature {
        name: "br_netfilter",
        file: "sys/net/bridge/bridge-nf-call-iptables",
        symbol: "CONFIG_BRIDGE_NETFILTER",
        module: "br_netfilter",
    },
    Feature { name: "nf_tables", file: "", symbol: "CONFIG_NF_TABLES", module: "nf_tables" },
    Feature { name: "veth", file: "", symbol: "CONFIG_VETH", module: "veth" },
    Feature { name: "bridge", file: "", symbol: "CONFIG_BRIDGE", module: "bridge" },
    Feature { name: "vxlan", file: "", symbol: "CONFIG_VXLAN", module: "vxlan" },
    Feature {
        name: "seccomp",
        file: "sys/kernel/seccomp/actions_avail",
        symbol: "CONFIG_SECCOMP_FILTER",
        module: "",
    },
    Feature { name: "cgroups", file: "cgroups", symbol: "CONFIG_CGROUPS", module: "" },
    Feature { name: "psi", file: "pressure/cpu", symbol: "CONFIG_PSI", module: "" },
];

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("arguments.features: {feature:?} cannot be checked; known are {}", FEATURES.iter().map(|f| f.name).collect::<Vec<_>>().join(", "))]
pub(super) struct UnknownFeature {
    feature: String,
}

/// What the kernel and its distribution tell.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    /// The names of [`Feature::file`]s that exist.
    files: Vec<&'static str>,
    filesystems: String,
    configuration: String,
    /// `modules.builtin` and `modules.dep`.
    modules: String,
    loaded: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) feature: &'static str,
    /// How we know that it is there.
    pub(super) found: Option<String>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(how) => write!(f, "{}: {how}", self.feature),
            None => write!(f, "{}: not found", self.feature),
        }
    }
}

impl Evidence {
    pub(super) fn read(proc: &Path) -> Self {
        let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let release = text(&proc.join("sys/kernel/osrelease")).trim().to_owned();
        let modules = Path::new("/lib/modules").join(&release);
        Self {
            files: FEATURES
                .iter()
                .map(|f| f.file)
                .filter(|file| !file.is_empty() && proc.join(file).exists())
                .collect(),
            filesystems: text(&proc.join("filesystems")),
            configuration: configuration(proc)
                .unwrap_or_else(|| text(&Path::new("/boot").join(format!("config-{release}")))),
            modules: text(&modules.join("modules.builtin")) + &text(&modules.join("modules.dep")),
            loaded: text(&proc.join("modules")),
        }
    }

    fn of(&self, feature: &Feature) -> Option<String> {
        if self.files.contains(&feature.file) {
            return Some(format!("/proc/{} is there", feature.file));
        }
        let module = feature.module;
        if !module.is_empty() {
            if self.filesystems.split_whitespace().any(|word| word == module) {
                return Some("in /proc/filesystems".to_owned());
            }
            if self.loaded.lines().any(|line| line.split(' ').next() == Some(module)) {
                return Some("module loaded".to_owned());
            }
        }
        for setting in ["y", "m"] {
            if self.configuration.lines().any(|line| line == format!("{}={setting}", feature.symbol)) {
                return Some(format!("{}={setting}", feature.symbol));
            }
        }
        let file = format!("/{module}.ko");
        let known = !module.is_empty()
            && self
                .modules
                .lines()
                .any(|line| line.split(':').next().is_some_and(|path| path.contains(&file)));
        known.then(|| format!("module {module} is installed"))
    }
}

fn configuration(proc: &Path) -> Option<String> {
    let file = fs::File::open(proc.join("config.gz")).ok()?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).ok()?;
    Some(text)
}

/// One row per feature asked for. A feature nobody can check is refused, never taken for granted.
pub(super) fn check(evidence: &Evidence, wanted: &[String]) -> Result<Vec<Row>, UnknownFeature> {
    let row = |name: &String| {
        let feature = FEATURES.iter().find(|feature| feature.name == name);
        let feature = feature.ok_or_else(|| UnknownFeature { feature: name.clone() })?;
        Ok(Row { feature: feature.name, found: evidence.of(feature) })
    };
    wanted.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(evidence: &Evidence, wanted: &[&str]) -> Vec<String> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        check(evidence, &wanted).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_kind_of_evidence_counts_and_none_means_missing() {
        let evidence = Evidence {
            files: vec!["sys/net/bridge/bridge-nf-call-iptables"],
            filesystems: "nodev\toverlay\n".to_owned(),
            configuration: "CONFIG_VETH=m\n# CONFIG_VXLAN is not set\n".to_owned(),
            modules: "kernel/net/netfilter/nf_tables.ko.xz: \n".to_owned(),
            loaded: "bridge 1 0\n".to_owned(),
        };
        let expect = [
            "overlayfs: in /proc/filesystems",
            "br_netfilter: /proc/sys/net/bridge/bridge-nf-call-iptables is there",
            "veth: CONFIG_VETH=m",
            "nf_tables: module nf_tables is installed",
            "bridge: module loaded",
            "vxlan: not found",
        ];
        assert_eq!(
            shown(&evidence, &["overlayfs", "br_netfilter", "veth", "nf_tables", "bridge", "vxlan"]),
            expect
        );
    }

    #[test]
    fn a_feature_nobody_can_check_is_refused_by_name() {
        let refused = check(&Evidence::default(), &["warp".to_owned()]).unwrap_err();
        assert!(
            refused
                .to_string()
                .starts_with("arguments.features: \"warp\" cannot be checked; known are overlayfs, ")
        );
    }
}
