use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use muster_base::error::chain;

use super::*;

/// A program in systemd's place: a unit is a directory with the files `load`, `active`, `file`, and what it is asked is
/// written down.
const SYSTEMCTL: &str = r#"#!/bin/sh
cd HERE
echo "$*" >> log
for word; do unit=$word; done
show() { printf '%s=%s\n' "$1" "$(cat "$unit/$2" 2>/dev/null || echo "$3")"; }
case "$*" in
  show*) [ -d "$unit" ] && load=loaded || load=not-found
    show LoadState load "$load"; show ActiveState active inactive; show SubState sub dead; show UnitFileState file ""
    show Type kind simple; show Result result success;;
  *" start -- "*) [ -e "$unit/stuck" ] && { echo "Job for $unit failed." >&2; exit 1; }
    cat "$unit/becomes" > "$unit/active" 2>/dev/null || echo active > "$unit/active";;
  *" stop -- "*) echo inactive > "$unit/active";;
  *" enable -- "*) echo enabled > "$unit/file";;
  *" disable -- "*) echo disabled > "$unit/file";;
  *) exit 9;;
esac
"#;

struct Ground {
    dir: tempfile::TempDir,
    systemd: Systemd,
}

fn ground() -> Ground {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("systemctl");
    fs::write(&program, SYSTEMCTL.replace("HERE", &dir.path().display().to_string())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let systemctl = Program { path: program, environment: Vec::new() };
    let note = dir.path().join("note.json");
    let systemd = Systemd { systemctl, booted: dir.path().to_owned(), note };
    Ground { dir, systemd }
}

impl Ground {
    fn unit(&self, name: &str, state: &[(&str, &str)]) {
        let dir = self.dir.path().join(name);
        fs::create_dir_all(&dir).unwrap();
        for (key, value) in state {
            fs::write(dir.join(key), format!("{value}\n")).unwrap();
        }
    }

    fn state(&self, name: &str) -> (String, String) {
        let read =
            |key: &str| fs::read_to_string(self.dir.path().join(name).join(key)).unwrap().trim().to_owned();
        (read("active"), read("file"))
    }

    /// What was asked for beside looking.
    fn acts(&self) -> Vec<String> {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        log.lines().filter(|line| !line.starts_with("show")).map(str::to_owned).collect()
    }

    async fn ensure(&self, wanted: &[(&str, ServiceState)]) -> Result<Vec<String>, ServiceError> {
        let wanted: Vec<SystemService> = wanted
            .iter()
            .map(|(name, state)| SystemService { name: (*name).into(), state: *state })
            .collect();
        self.systemd.ensure(&wanted).await
    }

    async fn refusal(&self, wanted: &[(&str, ServiceState)]) -> String {
        let error = self.ensure(wanted).await.unwrap_err();
        assert!(error.is_refusal() && self.acts().is_empty() && !self.systemd.note.exists(), "{error:?}");
        chain(&error)
    }
}

use ServiceState::{Enabled, Running};

#[tokio::test]
async fn services_run_once_asked_and_are_as_they_were_at_the_end() {
    let ground = ground();
    ground.unit("chrony.service", &[("active", "inactive"), ("file", "disabled")]);
    ground.unit("fstrim.timer", &[("active", "active"), ("file", "disabled")]);
    ground.unit("app.service", &[("active", "failed"), ("file", "static")]);
    ground.unit("ssh.service", &[("active", "active"), ("file", "enabled")]);
    let wanted = [
        ("chrony.service", Enabled),
        ("fstrim.timer", Enabled),
        ("app.service", Running),
        ("ssh.service", Enabled),
    ];
    let changes = ground.ensure(&wanted).await.unwrap();
    assert_eq!(
        changes,
        ["chrony.service: enabled and started", "fstrim.timer: enabled", "app.service: started"]
    );
    let flags = "--no-ask-password --no-pager";
    assert_eq!(
        ground.acts(),
        [
            format!("{flags} enable -- chrony.service"),
            format!("{flags} start -- chrony.service"),
            format!("{flags} enable -- fstrim.timer"),
            format!("{flags} start -- app.service"),
        ]
    );
    assert_eq!(ground.ensure(&wanted).await.unwrap(), Vec::<String>::new());
    assert_eq!(ground.acts().len(), 4);
    for _ in 0..2 {
        ground.systemd.restore().await.unwrap();
        assert!(!ground.systemd.note.exists());
    }
    let is = |active: &str, file: &str| (active.to_owned(), file.to_owned());
    assert_eq!(ground.state("chrony.service"), is("inactive", "disabled"));
    assert_eq!(ground.state("fstrim.timer"), is("active", "disabled"));
    assert_eq!(ground.state("app.service"), is("inactive", "static"));
    assert_eq!(ground.state("ssh.service"), is("active", "enabled"));
    assert_eq!(ground.acts().len(), 8);
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_before_anything_is_touched() {
    let ground = ground();
    ground.unit("chrony.service", &[("file", "disabled")]);
    ground.unit("static.service", &[("file", "static")]);
    ground.unit("masked.service", &[("load", "masked"), ("file", "masked")]);
    let rows = [
        (
            "none.service",
            Enabled,
            "there is no unit none.service on this machine: have the role bring the package",
        ),
        ("masked.service", Running, "masked.service is masked: unmask or mend"),
        (
            "static.service",
            Enabled,
            "static.service cannot be enabled, for it is static: ask for state running",
        ),
        (
            "--root=x.service",
            Running,
            "arguments.services[1]: name \"--root=x.service\": must be a unit of systemd",
        ),
        ("systemd-reboot.service", Running, "use the verbs for power instead"),
        ("chrony.service", Running, "arguments.services[1]: chrony.service stands twice, in two states"),
    ];
    for (name, state, expected) in rows {
        let said = ground.refusal(&[("chrony.service", Enabled), (name, state)]).await;
        assert!(said.starts_with("arguments.services") && said.contains(expected), "{said}");
    }
    assert_eq!(ground.refusal(&[]).await, "arguments.services: this verb needs services");
}

#[tokio::test]
async fn without_systemd_it_is_said_what_to_do() {
    let mut ground = ground();
    ground.systemd.booted = Path::new("/none").to_owned();
    let said = ground.refusal(&[("chrony.service", Enabled), ("x.timer", Running)]).await;
    assert_eq!(
        said,
        "arguments.services: chrony.service, x.timer cannot be started: systemd does not run this machine (/none is not there). Start them by what does, and take them out of the role"
    );
}

#[tokio::test]
async fn a_service_that_does_not_start_or_does_not_stay_is_told_with_what_systemd_said() {
    let ground = ground();
    ground.unit("stuck.service", &[("stuck", ""), ("file", "disabled")]);
    let error = ground.ensure(&[("stuck.service", Running)]).await.unwrap_err();
    assert_eq!(chain(&error), "systemctl start stuck.service failed: Job for stuck.service failed.");
    ground.unit("brief.service", &[("becomes", "failed"), ("result", "exit-code"), ("file", "disabled")]);
    let error = ground.ensure(&[("brief.service", Running)]).await.unwrap_err();
    assert!(!error.is_refusal());
    assert_eq!(
        chain(&error),
        "brief.service was started and is failed (exit-code): look at `journalctl -u brief.service` on the machine"
    );
    ground
        .unit("loop.service", &[("becomes", "activating"), ("sub", "auto-restart"), ("result", "exit-code")]);
    assert!(matches!(
        ground.ensure(&[("loop.service", Running)]).await,
        Err(ServiceError::NotRunning { .. })
    ));
    ground.unit("once.service", &[("becomes", "inactive"), ("kind", "oneshot")]);
    assert_eq!(ground.ensure(&[("once.service", Running)]).await.unwrap(), ["once.service: started"]);
}

#[tokio::test]
async fn a_unit_that_is_gone_at_the_end_is_left_at_that() {
    let ground = ground();
    ground.unit("chrony.service", &[("file", "disabled")]);
    ground.ensure(&[("chrony.service", Enabled)]).await.unwrap();
    fs::remove_dir_all(ground.dir.path().join("chrony.service")).unwrap();
    ground.systemd.restore().await.unwrap();
    assert!(!ground.systemd.note.exists());
}
