use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Arc;

use muster_base::clock::{Clock as _, SystemClock};

use super::*;
use crate::runtime::Runtime as _;
use crate::runtime::fake::Fake;

/// A machine below a directory. Its programs write down what they are asked.
struct Ground {
    dir: tempfile::TempDir,
    hands: MendHands,
}

const TELLER: &str = "#!/bin/sh\necho \"$(basename \"$0\") $*\" >> HERE/asked\n";

fn ground(reboot: &Reboot) -> Ground {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in
        ["root/var/cache/apt/archives", "root/var/log/nginx", "root/tmp", "data", "proc/self", "sys/class"]
    {
        fs::create_dir_all(at(name)).unwrap();
    }
    let roots = Roots { proc: at("proc"), sys: at("sys") };
    let mut hands = MendHands::new(&at("root"), &roots, &at("data"), reboot);
    let program = |name: &str, text: &str| {
        fs::write(at(name), text.replace("HERE", &dir.path().display().to_string())).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
        Program { path: at(name), environment: Vec::new() }
    };
    hands.programs.apt_get =
        program("apt-get", &format!("{TELLER}rm -f HERE/root/var/cache/apt/archives/*.deb\n"));
    hands.programs.journalctl = program("journalctl", TELLER);
    hands.programs.tmpfiles = program("systemd-tmpfiles", TELLER);
    // chrony alone is there; it runs again when it was restarted, unless it is broken.
    let units = "case \"$*\" in *restart*) [ -e HERE/broken ] || touch HERE/runs;; *is-active*chrony.service) [ -e HERE/runs ];; \
                 *is-enabled*chrony.service) exit 0;; *) exit 3;; esac\n";
    hands.programs.systemctl = program("systemctl", &format!("{TELLER}{units}"));
    Ground { dir, hands }
}

impl Ground {
    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.at("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn systemd_runs(&self) {
        fs::create_dir_all(self.at("root/run/systemd/system")).unwrap();
    }

    /// The file system of this directory is that of `sdz1`.
    fn mounted(&self) {
        let line = format!("/dev/sdz1 {} ext4 rw 0 0\n", self.dir.path().display());
        fs::write(self.at("proc/self/mounts"), line).unwrap();
    }

    fn old(&self, name: &str, days: u64) {
        let file = fs::File::create(self.at(name)).unwrap();
        let at = now() - std::time::Duration::from_secs(days * 86_400);
        file.set_modified(at).unwrap();
    }
}

fn now() -> std::time::SystemTime {
    SystemClock.now().into()
}

fn runtime() -> Fake {
    Fake::new(Arc::new(SystemClock))
}

fn words(outcome: &Outcome) -> (&'static str, String) {
    let kind = match outcome {
        Outcome::Done { .. } => "done",
        Outcome::Failed { .. } => "failed",
        Outcome::Refused { .. } => "refused",
        Outcome::Begun { .. } => "begun",
    };
    (kind, outcome.message().to_owned())
}

#[tokio::test]
async fn room_is_made_of_what_can_be_had_again_or_is_old_and_of_nothing_else() {
    let ground = ground(&Reboot::Systemd);
    ground.mounted();
    fs::write(ground.at("root/var/cache/apt/archives/a.deb"), vec![0; 4 << 20]).unwrap();
    for (name, days) in [
        ("root/var/log/syslog", 9),
        ("root/var/log/syslog.1", 9),
        ("root/var/log/nginx/access.log.2.gz", 9),
        ("root/var/log/nginx/access.log.1", 0),
    ] {
        ground.old(name, days);
    }
    let runtime = runtime();
    for name in ["registry.test/unused:1", "made-here:1", crate::image::PAUSE] {
        runtime.add_image(name);
    }
    runtime.publish_image("registry.test/unused:1");
    runtime.publish_image(crate::image::PAUSE);
    let outcome = ground.hands.make_room("sdz1", &runtime, &ground.at("data"), now()).await;
    assert_eq!(words(&outcome).0, "done", "{outcome:?}");
    assert_eq!(
        outcome.output().lines().collect::<Vec<_>>(),
        [
            "images: 1 that no container uses, 1 MiB",
            "packages: cleaned",
            "temporary files: cleaned",
            "rotated logs: 2"
        ]
    );
    assert_eq!(ground.asked(), ["apt-get clean", "systemd-tmpfiles --clean"]);
    let left: Vec<String> = runtime.images().await.unwrap().into_iter().map(|image| image.id).collect();
    assert_eq!(left, ["made-here:1", crate::image::PAUSE]);
    let is_there = |name: &str| ground.at(name).exists();
    assert!(is_there("root/var/log/syslog") && is_there("root/var/log/nginx/access.log.1"));
    assert!(!is_there("root/var/log/syslog.1") && !is_there("root/var/log/nginx/access.log.2.gz"));
}

#[tokio::test]
async fn where_there_is_nothing_to_remove_no_room_is_claimed() {
    let ground = ground(&Reboot::Systemd);
    let outcome = ground.hands.make_room("sdz1", &runtime(), &ground.at("data"), now()).await;
    let (kind, text) = words(&outcome);
    assert_eq!(
        (kind, text.as_str()),
        ("refused", "arguments.device: no file system of sdz1 is mounted here")
    );
    // Another file system than that of the machine's files.
    fs::write(ground.at("proc/self/mounts"), "/dev/sdz1 /proc ext4 rw 0 0\n").unwrap();
    let (kind, text) = words(&ground.hands.make_room("sdz1", &runtime(), &ground.at("data"), now()).await);
    assert_eq!((kind, text.as_str()), ("failed", "nothing that may be removed lies on sdz1 (/proc)"));
    assert_eq!(ground.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn what_keeps_the_clock_is_restarted_and_has_to_run_then() {
    let ground = ground(&Reboot::Systemd);
    let (kind, text) = words(&ground.hands.restart_time_sync().await);
    assert!(kind == "refused" && text.starts_with("systemd does not run this machine"), "{kind}: {text}");
    ground.systemd_runs();
    assert_eq!(
        words(&ground.hands.restart_time_sync().await),
        ("done", "chrony.service was restarted and runs".into())
    );
    fs::remove_file(ground.at("runs")).unwrap();
    fs::write(ground.at("broken"), "").unwrap();
    let (kind, text) = words(&ground.hands.restart_time_sync().await);
    assert!(kind == "failed" && text.contains("does not run"), "{kind}: {text}");
    let restarts = ground.asked().iter().filter(|line| line.contains(" restart ")).count();
    assert_eq!(restarts, 2);
}

#[tokio::test]
async fn a_reboot_is_told_once_and_only_the_next_boot_says_that_it_was() {
    let never = ground(&Reboot::Never("not this one"));
    never.systemd_runs();
    assert_eq!(words(&never.hands.reboot().await), ("refused", "not this one".into()));
    let without = ground(&Reboot::Systemd);
    assert_eq!(words(&without.hands.reboot().await).0, "refused");
    without.systemd_runs();
    assert_eq!(words(&without.hands.reboot().await).0, "failed", "this systemctl knows no reboot");
    let path = without.at("boots");
    fs::write(&path, TELLER.replace("HERE", &without.dir.path().display().to_string())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let hands = MendHands::new(
        &without.at("root"),
        &without.hands.roots,
        &without.at("data"),
        &Reboot::Program(path),
    );
    assert_eq!(words(&hands.reboot().await).0, "begun");
    assert_eq!(without.asked(), ["systemctl --no-ask-password reboot", "boots "]);
    assert_eq!((boot::seen("a", "a"), boot::seen("", "b")), (None, None));
    assert_eq!(boot::seen("a", "b").unwrap(), "the machine has booted anew: boot b");
}

#[tokio::test]
async fn an_nvme_controller_is_reset_by_its_own_name_or_that_of_a_part() {
    let ground = ground(&Reboot::Systemd);
    let controller = ground.at("sys/class/nvme/nvme0");
    fs::create_dir_all(&controller).unwrap();
    fs::create_dir_all(ground.at("sys/class/block/nvme0n1")).unwrap();
    std::os::unix::fs::symlink(&controller, ground.at("sys/class/block/nvme0n1/device")).unwrap();
    fs::write(controller.join("state"), "live\n").unwrap();
    for name in ["nvme0", "nvme0n1"] {
        fs::write(controller.join("reset_controller"), "").unwrap();
        assert_eq!(words(&ground.hands.reset_device(name).await).0, "done");
        assert_eq!(fs::read_to_string(controller.join("reset_controller")).unwrap(), "1");
    }
    let (kind, text) = words(&ground.hands.reset_device("sdz").await);
    assert!(
        kind == "refused" && text.contains("neither a network interface nor an NVMe controller"),
        "{text}"
    );
}

/// The real `ip`, in a network namespace of its own.
struct Network(String);

impl Network {
    fn new() -> Self {
        let network = Self(format!("mend-{}", std::process::id()));
        for words in [
            format!("netns add {}", network.0),
            format!("-n {} link add e0 type veth peer name e1", network.0),
            format!("-n {} address add 10.0.0.2/24 dev e0", network.0),
            format!("-n {} link set e0 up", network.0),
            format!("-n {} link set e1 up", network.0),
            format!("-n {} route add default via 10.0.0.1 dev e0 metric 7", network.0),
            format!("-n {} route add 192.0.2.0/24 via 10.0.0.9 dev e0 proto static src 10.0.0.2", network.0),
            format!("-n {} link add br0 type bridge", network.0),
        ] {
            assert!(network.run(&words).0, "{words}");
        }
        network
    }

    fn run(&self, words: &str) -> (bool, String) {
        let output = Command::new("ip").args(words.split(' ')).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn routes(&self) -> Vec<String> {
        let (_, said) = self.run(&format!("-n {} route show", self.0));
        let mut routes: Vec<String> = said.lines().map(|line| line.trim().replace(" onlink", "")).collect();
        routes.sort();
        routes
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.run(&format!("netns del {}", self.0));
    }
}

#[tokio::test]
async fn an_interface_goes_down_and_up_and_keeps_its_routes() {
    if !nix::unistd::Uid::effective().is_root() {
        use std::io::Write as _;
        writeln!(std::io::stdout(), "could not run: a network namespace needs root").unwrap();
        return;
    }
    let network = Network::new();
    let mut ground = ground(&Reboot::Systemd);
    let path = ground.at("ip");
    fs::write(&path, format!("#!/bin/sh\nexec ip -n {} \"$@\"\n", network.0)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    ground.hands.programs.ip = Program { path, environment: Vec::new() };
    let before = network.routes();
    assert_eq!(before.len(), 3, "{before:?}");
    let outcome = ground.hands.reset_device("e0").await;
    assert_eq!(words(&outcome).0, "done", "{outcome:?}");
    assert_eq!(network.routes(), before);
    assert!(outcome.output().starts_with("link set dev e0 down\nlink set dev e0 up\n"), "{outcome:?}");
    assert_eq!(words(&ground.hands.reset_device("lo").await).0, "refused");
    assert_eq!(words(&ground.hands.reset_device("nothing0").await).0, "refused");
}
