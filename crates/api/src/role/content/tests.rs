use super::*;

fn package(text: &str) -> Result<Package, PackageFault> {
    Package::parse(text)
}

#[test]
fn packages_are_names_and_versions_of_the_policy() {
    for name in ["g++", "libstdc++6", "0ad", "nvme-cli", "python3.11"] {
        assert_eq!(package(name), Ok(Package { name: name.into(), version: None }));
    }
    for version in ["1", "2:1.18~rc1+dfsg-3+deb12u1", "0.1-1"] {
        let expected = Package { name: "chrony".into(), version: Some(version.into()) };
        assert_eq!(package(&format!("chrony={version}")), Ok(expected));
    }
}

#[test]
fn what_apt_would_take_for_something_else_is_no_package() {
    let long = "a".repeat(129);
    let bad = [
        "",
        "a",
        "-y",
        "--allow-downgrades",
        "-o=Dpkg::Pre-Invoke::=id",
        "chrony-",
        "Chrony",
        "chr*",
        "^chr",
        "a/b",
        "./a.deb",
        "a b",
        "a\n",
        "chrony/sid",
        "chrony:i386",
        "?installed",
        "chrony=",
        "chrony=*",
        "chrony=a1",
        "chrony=1 x",
        "chrony=:1",
        "chrony=x:1",
        "chrony==1",
        "=1",
        &long,
    ];
    for text in bad {
        let error = package(text).unwrap_err().to_string();
        assert!(error.contains("is no package: write NAME or NAME=VERSION"), "{text:?}: {error}");
    }
}

fn file(path: &str) -> File {
    File { path: path.into(), ..File::default() }
}

#[test]
fn files_lie_below_the_allowed_directories_alone() {
    for path in
        ["/etc/chrony/conf.d/10-site.conf", "/usr/local/etc/app.yaml", "/srv/www/index.html", "/etc/opt/x/y"]
    {
        assert_eq!(file(path).check(), Ok(0o644), "{path}");
    }
    let long = format!("/srv/{}", "x".repeat(512));
    let bad = [
        "",
        "/",
        "etc/x/y",
        "/etc/passwd",
        "/etc/shadow",
        "/etc/sudoers",
        "/etc/crontab",
        "/etc/x/",
        "/etc//y",
        "/etc/x/../passwd",
        "/etc/x/./y",
        "/etc/x/.y",
        "/etc/./x/y",
        "//etc/x/y",
        "/usr/local/etc",
        "/usr/local/bin/x",
        "/usr/bin/x",
        "/var/lib/muster/orders.json",
        "/srv",
        "/srv/",
        "/srv/x\n",
        "/srv/x y",
        "/srv/-x",
        "/srv/\u{e9}",
        "/proc/x/y",
        &long,
    ];
    for path in bad {
        let fault = file(path).check().unwrap_err();
        assert!(matches!(fault, FileFault::Path { .. }), "{path:?}: {fault:?}");
    }
}

#[test]
fn what_makes_root_of_somebody_is_reserved() {
    assert!(RESERVED.is_sorted() && ENDINGS.is_sorted());
    for directory in RESERVED {
        let path = format!("/etc/{directory}/x");
        let expected = FileFault::Reserved { path: path.clone(), directory: directory.to_owned() };
        assert_eq!(file(&path).check(), Err(expected));
    }
    let fault = file("/etc/cron.d/x").check().unwrap_err().to_string();
    assert!(fault.contains("\"/etc/cron.d/x\"") && fault.contains("bring this by a package"), "{fault}");
}

#[test]
fn nobody_executes_a_file_and_only_root_writes_it() {
    let moded = |mode: &str| File { mode: mode.into(), ..file("/srv/x") }.check();
    for (mode, bits) in [("", 0o644), ("0600", 0o600), ("0440", 0o440), ("0644", 0o644)] {
        assert_eq!(moded(mode), Ok(bits));
    }
    for mode in ["0755", "0666", "0664", "4644", "644", "0o644", "06444", "abcd", "+644"] {
        assert!(matches!(moded(mode), Err(FileFault::Mode { .. })), "{mode}");
    }
    let large = File { content: "x".repeat(CONTENT_BYTES_MAX + 1), ..file("/srv/x") };
    assert_eq!(large.check(), Err(FileFault::Large { path: "/srv/x".into(), bytes: CONTENT_BYTES_MAX + 1 }));
}

#[test]
fn services_are_units_that_neither_end_nor_open_the_machine() {
    let service = |name: &str| SystemService { name: name.into(), ..SystemService::default() }.check();
    for name in ["chrony.service", "getty@tty1.service", "fstrim.timer", "docker.socket"] {
        assert_eq!(service(name), Ok(()));
    }
    for name in [
        "",
        "chrony",
        "-H.service",
        "--root=x.service",
        "a/b.service",
        "poweroff.target",
        "a b.service",
        ".service",
    ] {
        assert!(matches!(service(name), Err(ServiceFault::Name { .. })), "{name:?}");
    }
    for name in ENDINGS {
        assert_eq!(service(name), Err(ServiceFault::Ending { name: name.into() }));
    }
}
