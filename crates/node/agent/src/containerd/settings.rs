//! The configuration file of containerd. Version 2 is read by 1.x and 2.x alike.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::Layout;

/// A program that makes containers out of bundles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciRuntime {
    /// `runc` or `crun`.
    pub name: String,
    pub program: PathBuf,
}

/// What depends on the machine and on the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub pause_image: String,
    pub cni_bin_dir: PathBuf,
    pub cni_conf_dir: PathBuf,
    /// Without `CAP_SYS_RESOURCE` no score below our own can be set, and every sandbox would fail.
    pub restrict_oom_score: bool,
    /// The first is the default.
    pub runtimes: Vec<OciRuntime>,
}

/// Snapshotters and extras that need what we do not use. `io.containerd.runtime.v1.linux` must stay on in 1.6: the CRI
/// plugin does not load without it.
const DISABLED: &[&str] = &[
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.native",
    "io.containerd.internal.v1.opt",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.internal.v1.tracing",
];

/// A TOML basic string.
fn quoted(text: impl AsRef<str>) -> String {
    let mut out = String::from("\"");
    for c in text.as_ref().chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.extend(format!("\\u{:04X}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn path(path: &std::path::Path) -> String {
    quoted(path.to_string_lossy())
}

impl Settings {
    /// The whole file.
    pub(super) fn render(&self, layout: &Layout) -> String {
        let disabled: Vec<String> = DISABLED.iter().map(quoted).collect();
        let runtimes: String = self.runtimes.iter().map(runtime).collect();
        let default = self.runtimes.first().map_or("runc", |runtime| runtime.name.as_str());
        format!(
            r#"# Written by Muster at every start of containerd: changes here are lost.
version = 2
root = {root}
state = {state}
oom_score = 0
disabled_plugins = [{disabled}]
[grpc]
  address = {socket}
[ttrpc]
  address = {ttrpc}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {pause}
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  restrict_oom_score_adj = {restrict}
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {cni_bin}
    conf_dir = {cni_conf}
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = {default}
{runtimes}"#,
            root = path(&layout.root()),
            state = path(&layout.state()),
            disabled = disabled.join(", "),
            socket = path(&layout.socket()),
            ttrpc = path(&layout.ttrpc_socket()),
            pause = quoted(&self.pause_image),
            restrict = self.restrict_oom_score,
            cni_bin = path(&self.cni_bin_dir),
            cni_conf = path(&self.cni_conf_dir),
            default = quoted(default),
        )
    }
}

fn runtime(runtime: &OciRuntime) -> String {
    let table =
        format!("plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.{}", quoted(&runtime.name));
    let mut out = String::new();
    let written = writeln!(
        out,
        "    [{table}]\n      runtime_type = \"io.containerd.runc.v2\"\n      [{table}.options]\n        BinaryName = {}\n        \
         SystemdCgroup = false",
        path(&runtime.program)
    );
    written.expect("writing to a String does not fail");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_lives_below_the_data_directory_and_the_first_runtime_is_the_default() {
        let layout = Layout::new(std::path::Path::new("/data")).unwrap();
        let settings = Settings {
            pause_image: "muster.local/pause:1".to_owned(),
            cni_bin_dir: "/usr/lib/cni".into(),
            cni_conf_dir: "/data/cni".into(),
            restrict_oom_score: true,
            runtimes: vec![
                OciRuntime { name: "crun".to_owned(), program: "/usr/bin/crun".into() },
                OciRuntime { name: "runc".to_owned(), program: "/usr/sbin/runc".into() },
            ],
        };
        let text = settings.render(&layout);
        for line in [
            "root = \"/data/containerd/root\"",
            "state = \"/data/containerd/state\"",
            "  address = \"/data/containerd/c.sock\"",
            "  restrict_oom_score_adj = true",
            "    default_runtime_name = \"crun\"",
            "        BinaryName = \"/usr/sbin/runc\"",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("io.containerd.runtime.v1.linux"));
    }

    #[test]
    fn a_path_cannot_break_out_of_its_string() {
        assert_eq!(quoted("a\"b\\c\n"), r#""a\"b\\c\u000A""#);
    }
}
