use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use muster_base::error::chain;
use sha2::{Digest as _, Sha256};

use super::*;

/// A root with a package database of its own and one source of packages, for the real `apt-get`, `dpkg` and `dpkg-query`.
struct Ground {
    dir: tempfile::TempDir,
    apt: Apt,
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn ground() -> Ground {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    for below in [
        "etc/apt/apt.conf.d",
        "etc/apt/preferences.d",
        "etc/apt/sources.list.d",
        "var/cache/apt/archives/partial",
        "var/lib/apt/lists/partial",
        "var/lib/dpkg/info",
        "var/lib/dpkg/updates",
        "var/log/apt",
    ] {
        fs::create_dir_all(root.join(below)).unwrap();
    }
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(root.join("etc/apt/sources.list"), format!("deb [trusted=yes] file:{} ./\n", source.display()))
        .unwrap();
    let root = root.display();
    let settings = format!(
        "Dir \"{root}\";\nDir::State::status \"{root}/var/lib/dpkg/status\";\nAPT::Sandbox::User \"root\";\nDpkg::Options:: \"--root={root}\";\nDpkg::Options:: \"--force-script-chrootless\";\n"
    );
    let config = dir.path().join("apt.conf");
    fs::write(&config, settings).unwrap();
    let mut apt = Apt::default();
    apt.apt_get.environment.push(("APT_CONFIG".to_owned(), config.display().to_string()));
    let database = format!("{root}/var/lib/dpkg");
    apt.dpkg_query.environment.push(("DPKG_ADMINDIR".to_owned(), database));
    Ground { dir, apt }
}

impl Ground {
    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Builds a package and puts it into the source. `script`: its postinst; it brings the file `/etc/NAME`.
    fn publish(&self, name: &str, version: &str, more: &str, script: &str) {
        let (build, source) = (self.dir.path().join("build"), self.dir.path().join("source"));
        fs::create_dir_all(build.join("DEBIAN")).unwrap();
        fs::create_dir_all(build.join("etc")).unwrap();
        fs::write(build.join("etc").join(name), version).unwrap();
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: T <t@example.com>\nDescription: a test\n{more}"
        );
        fs::write(build.join("DEBIAN/control"), &control).unwrap();
        if !script.is_empty() {
            use std::os::unix::fs::PermissionsExt as _;
            let path = build.join("DEBIAN/postinst");
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let file = format!("{name}_{}_all.deb", version.replace(':', "%"));
        let archive = source.join(&file);
        let text = |path: &Path| path.display().to_string();
        run("dpkg-deb", &["--root-owner-group", "-b", &text(&build), &text(&archive)]);
        fs::remove_dir_all(&build).unwrap();
        let bytes = fs::read(&archive).unwrap();
        let hash = Sha256::digest(&bytes).iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        let list = source.join("Packages");
        let mut known = fs::read_to_string(&list).unwrap_or_default();
        writeln!(known, "{control}Filename: ./{file}\nSize: {}\nSHA256: {hash}\n", bytes.len()).unwrap();
        fs::write(list, known).unwrap();
    }

    async fn ensure(&self, wanted: &[&str]) -> Result<Vec<String>, PackageError> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        self.apt.ensure(&wanted).await
    }

    /// What is installed, by dpkg's own words.
    fn installed(&self) -> Vec<String> {
        let output = Command::new("dpkg-query")
            .env("DPKG_ADMINDIR", self.root().join("var/lib/dpkg"))
            .args(["-W", "-f", "${Package} ${Version} ${db:Status-Status}\n"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    async fn refusal(&self, wanted: &[&str]) -> String {
        let before = self.installed();
        let error = self.ensure(wanted).await.unwrap_err();
        assert!(error.is_refusal(), "{error:?}");
        assert_eq!(self.installed(), before);
        chain(&error)
    }
}

#[tokio::test]
async fn what_is_missing_is_installed_once_with_what_it_needs_and_nothing_that_is_only_recommended() {
    let ground = ground();
    ground.publish("libneeded1", "1.0", "", "");
    ground.publish("nice-to-have", "1.0", "", "");
    ground.publish("chrony-x", "2:1.0~rc1-1", "Depends: libneeded1\nRecommends: nice-to-have\n", "");
    assert_eq!(ground.ensure(&["chrony-x"]).await.unwrap(), ["chrony-x: 2:1.0~rc1-1 installed"]);
    assert_eq!(ground.installed(), ["chrony-x 2:1.0~rc1-1 installed", "libneeded1 1.0 installed"]);
    assert_eq!(fs::read_to_string(ground.root().join("etc/chrony-x")).unwrap(), "2:1.0~rc1-1");
    let log = ground.root().join("var/log/apt/history.log");
    let before = fs::read_to_string(&log).unwrap();
    // Newer ones come: what is installed is left alone.
    ground.publish("chrony-x", "3:1.0", "", "");
    for wanted in [&["chrony-x"][..], &["chrony-x=2:1.0~rc1-1", "libneeded1"]] {
        assert_eq!(ground.ensure(wanted).await.unwrap(), Vec::<String>::new());
    }
    assert_eq!(fs::read_to_string(&log).unwrap(), before);
}

#[tokio::test]
async fn a_version_is_that_version_or_none() {
    let ground = ground();
    ground.publish("app-x", "1.0", "", "");
    ground.publish("app-x", "2.0", "", "");
    let error = ground.ensure(&["app-x=3.0"]).await.unwrap_err();
    assert!(
        !error.is_refusal() && chain(&error).contains("Version '3.0' for 'app-x' was not found"),
        "{error}"
    );
    assert_eq!(ground.ensure(&["app-x=1.0", "app-x"]).await.unwrap(), ["app-x: 1.0 installed"]);
    assert_eq!(
        ground.refusal(&["app-x=2.0"]).await,
        "arguments.packages: app-x is installed in version 1.0, not 2.0, and what is installed is left alone: name version 1.0, or bring 2.0 in the machine's image"
    );
}

#[tokio::test]
async fn what_is_needed_in_a_newer_version_is_told() {
    let ground = ground();
    ground.publish("libneeded1", "1.0", "", "");
    ground.ensure(&["libneeded1"]).await.unwrap();
    ground.publish("libneeded1", "2.0", "", "");
    ground.publish("app-x", "1.0", "Depends: libneeded1 (>= 2.0)\n", "");
    assert_eq!(
        ground.ensure(&["app-x"]).await.unwrap(),
        ["libneeded1: 1.0 -> 2.0, which it needs", "app-x: 1.0 installed"]
    );
}

#[tokio::test]
async fn nothing_is_removed_and_no_other_package_is_taken_for_the_one_that_is_meant() {
    let ground = ground();
    ground.publish("old-x", "1.0", "", "");
    ground.publish("new-x", "1.0", "Conflicts: old-x\nProvides: mail-x\n", "");
    ground.ensure(&["old-x"]).await.unwrap();
    assert_eq!(
        ground.refusal(&["new-x"]).await,
        "arguments.packages: to install new-x apt would remove old-x: nothing was done"
    );
    ground.publish("mailer", "1.0", "Provides: mail-y\n", "");
    assert_eq!(
        ground.refusal(&["mail-y"]).await,
        "arguments.packages: apt would install mailer for mail-y, which is not that package: name the one that is meant"
    );
    // apt-get takes a plus at the end for the wish to install what stands before it.
    assert_eq!(
        ground.refusal(&["mailer+"]).await,
        "arguments.packages: apt would install mailer for mailer+, which is not that package: name the one that is meant"
    );
    // And would take dots for a pattern.
    let error = ground.ensure(&["mail.r"]).await.unwrap_err();
    assert!(chain(&error).contains("Unable to locate package mail.r"), "{error}");
    assert_eq!(ground.installed(), ["old-x 1.0 installed"]);
}

#[tokio::test]
async fn what_apt_says_last_is_told_and_the_next_attempt_takes_up_what_was_left_half_done() {
    let ground = ground();
    ground.publish("bad-x", "1.0", "", "echo no room for it >&2; [ -e \"$DPKG_ROOT/etc/room\" ]");
    let error = ground.ensure(&["bad-x"]).await.unwrap_err();
    let said = chain(&error);
    assert!(said.starts_with("apt-get could not install bad-x (exit status: 100): "), "{said}");
    assert!(
        said.contains("no room for it") && said.contains("Sub-process /usr/bin/dpkg returned an error"),
        "{said}"
    );
    assert_eq!(ground.installed(), ["bad-x 1.0 half-configured"]);
    fs::write(ground.root().join("etc/room"), "").unwrap();
    assert_eq!(ground.ensure(&["bad-x"]).await.unwrap(), ["bad-x: 1.0 installed"]);
    assert_eq!(ground.installed(), ["bad-x 1.0 installed"]);
}

#[tokio::test]
async fn lists_that_cannot_be_renewed_are_told_with_what_they_lack() {
    let ground = ground();
    fs::remove_dir_all(ground.dir.path().join("source")).unwrap();
    let error = ground.ensure(&["app-x"]).await.unwrap_err();
    let said = chain(&error);
    assert!(said.starts_with("apt-get would not install app-x: E: Unable to locate package app-x"), "{said}");
    assert!(said.contains("its lists may be old, for apt-get update failed: "), "{said}");
}

#[tokio::test]
async fn what_is_wrong_with_a_wish_is_found_before_any_program_runs() {
    let mut ground = ground();
    ground.apt.apt_get.path = "/none/apt-get".into();
    ground.apt.dpkg_query.path = "/none/dpkg-query".into();
    for bad in
        ["-y", "--allow-downgrades", "-oDpkg::Pre-Invoke::=id", "app-x-", "../x.deb", "app x", "app-x=*"]
    {
        let said = ground.refusal(&["fine", bad]).await;
        assert!(
            said.starts_with("arguments.packages: ") && said.contains("is no package: write NAME"),
            "{said}"
        );
    }
    let twice = ground.refusal(&["app-x=1", "app-x=2"]).await;
    assert_eq!(twice, "arguments.packages: app-x is named with two versions: name it once");
    assert_eq!(
        ground.refusal(&[]).await,
        "arguments.packages: this verb needs packages, and none is not all"
    );
    let many = vec!["app-x"; 129];
    assert_eq!(ground.refusal(&many).await, "arguments.packages: 129 packages are more than 128");
    assert_eq!(
        ground.refusal(&["app-x"]).await,
        "packages are brought by apt alone, and this machine has no /none/dpkg-query: take them out of the role, or use an image that has them"
    );
}

#[test]
fn the_command_line_neither_removes_nor_asks_and_ends_its_options_before_the_names() {
    let packages = parse(&["b-x=1.0".to_owned(), "a-x".to_owned()]).unwrap();
    assert_eq!(
        told(&INSTALL, &packages).join(" "),
        "-q -y --no-install-recommends -o APT::Cmd::Pattern-Only=true -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=false -o Dpkg::Options::=--force-confold --no-remove install -- a-x b-x=1.0"
    );
    let environment = Apt::default().apt_get.environment;
    assert!(environment.contains(&("DEBIAN_FRONTEND".to_owned(), "noninteractive".to_owned())));
}

#[test]
fn the_states_of_dpkg_are_read() {
    let output = "a\t1\tii \nb\t2\thi \nc\t3\trc \nd\t4\tiF \ne\t5\tiiR\nf\t\tun ";
    let known = read_known(output);
    let installed: Vec<&str> =
        known.iter().filter(|(_, known)| known.is_installed).map(|(name, _)| name.as_str()).collect();
    assert_eq!((installed, known.len()), (vec!["a", "b"], 6));
}

#[test]
fn the_plan_of_apt_is_read() {
    let output = "Reading package lists...\nRemv old:i386 [1.0]\nInst lib [1.0] (2.0 Debian:12.1/stable [all]) []\nInst new (1:3-1 localhost [amd64])\nConf lib (2.0 Debian [all])\n";
    let install = |name: &str, from: Option<&str>, to: &str| Planned::Install {
        name: name.into(),
        from: from.map(Into::into),
        to: to.into(),
    };
    let expected = [
        Planned::Remove { name: "old:i386".into() },
        install("lib", Some("1.0"), "2.0"),
        install("new", None, "1:3-1"),
        Planned::Configure { name: "lib".into() },
    ];
    assert_eq!(read_plan(output), expected);
}
