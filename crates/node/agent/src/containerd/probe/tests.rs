use super::*;

const ROOT: &str = "Name:\tx\nCapEff:\t000001ffffffffff\n";
const NO_RESOURCE: &str = "CapEff:\t000001fffeffffff\n";

fn facts() -> Facts {
    Facts {
        status: ROOT.to_owned(),
        mounts: "/dev/vda / ext4 rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n".to_owned(),
        filesystems: "nodev\tproc\nnodev\toverlay\n\text4\n".to_owned(),
        bridge_filter: Some("1\n".to_owned()),
        programs: PROGRAMS.iter().map(|name| Path::new("/usr/bin").join(name)).collect(),
        cni_bin_dir: Some("/usr/lib/cni".into()),
    }
}

fn names(capabilities: &Capabilities) -> Vec<&str> {
    capabilities.runtimes.iter().map(|runtime| runtime.name.as_str()).collect()
}

#[test]
fn a_complete_machine_has_nothing_to_complain_about_and_prefers_crun() {
    let capabilities = judge(&facts());
    assert!(
        capabilities.findings.iter().all(|finding| finding.level == Level::Good),
        "{:#?}",
        capabilities.findings
    );
    assert_eq!(names(&capabilities), ["crun", "runc"]);
    assert_eq!((capabilities.cgroups, capabilities.restrict_oom_score), (Cgroups::V2, false));
}

#[test]
fn hybrid_cgroups_leave_only_runc() {
    let mounts =
        "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n".to_owned();
    let capabilities = judge(&Facts { mounts, ..facts() });
    assert_eq!((names(&capabilities), capabilities.cgroups), (vec!["runc"], Cgroups::Hybrid));
}

#[test]
fn without_sys_resource_scores_are_restricted_and_said_so() {
    let capabilities = judge(&Facts { status: NO_RESOURCE.to_owned(), ..facts() });
    assert!(capabilities.restrict_oom_score);
    let degraded: Vec<&str> =
        capabilities.findings.iter().filter(|f| f.level == Level::Degraded).map(|f| f.what).collect();
    assert_eq!(degraded, ["OOM scores"]);
}

#[test]
fn an_empty_machine_lists_everything_that_is_missing_with_its_remedy() {
    let capabilities = judge(&Facts::default());
    let missing: Vec<&str> = capabilities.missing().map(|finding| finding.what).collect();
    let expected = [
        "privilege",
        "containerd",
        "containerd shim",
        "OCI runtime",
        "image import",
        "CNI plugins",
        "cgroups",
        "root file system",
        "overlayfs",
    ];
    assert_eq!(missing, expected);
    let cni = capabilities.missing().find(|finding| finding.what == "CNI plugins").unwrap();
    assert_eq!(
        cni.to_string(),
        "CNI plugins: MISSING: not installed: apt-get install containernetworking-plugins"
    );
}

#[test]
fn a_plain_chroot_is_told_apart_and_what_to_do_about_it() {
    let mounts = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\nproc /proc proc rw 0 0\n".to_owned();
    let capabilities = judge(&Facts { mounts, ..facts() });
    let missing: Vec<String> = capabilities.missing().map(ToString::to_string).collect();
    assert_eq!(missing.len(), 1);
    assert!(missing[0].contains("mount --bind DIR DIR"), "{missing:?}");
}
