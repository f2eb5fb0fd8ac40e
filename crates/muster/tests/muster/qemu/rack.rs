//! A control plane, a boot server and one machine that is off, in a network of their own.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::monitor::Monitor;
use crate::bmc::emulator::{IpmiSim, lacks_of};
use crate::harness::{Cluster, MUSTER, Process, done, root, unable, wait_for};

pub(crate) const NAME: &str = "db-01";
pub(crate) const SERIAL: &str = "SN-QEMU-0001";
pub(crate) const MAC: &str = "52:54:00:12:34:56";
pub(crate) const DISK: &str = "DISK-0001";
pub(crate) const NVME: &str = "NVME-0001";
const ADDRESS: &str = "10.99.0.1";
const SERVER: &str = "https://10.99.0.1:6443";
const WEB: &str = "10.99.0.1:8080";

const PROGRAMS: [&str; 10] = [
    "qemu-system-x86_64",
    "dnsmasq",
    "busybox",
    "ipmi_sim",
    "ipmitool",
    "setpriv",
    "setsid",
    "zstd",
    "mkfs.ext4",
    "dpkg-deb",
];

/// The controller's power is an emulator that runs or does not: on starts it, off kills it.
const HOOK: &str = r#"#!/bin/sh
state=$(dirname "$0")
runs() { kill -0 "$(cat "$state/qemu.pid" 2> /dev/null)" 2> /dev/null; }
off() { runs && kill -9 "$(cat "$state/qemu.pid")"; rm -f "$state/qemu.pid"; }
on() { runs || "$state/machine" < /dev/null > "$state/machine.out" 2>&1; }
case "$2 $3" in
  "get power") if runs; then echo power:1; else echo power:0; fi ;;
  "get boot") echo "boot:$(cat "$state/boot" 2> /dev/null || echo none)" ;;
  "set power") echo "power $4" >> "$state/acts"; if [ "$4" = 1 ]; then on; else off; fi ;;
  "set shutdown") echo "shutdown" >> "$state/acts"; off ;;
  "set boot") echo "$4" > "$state/boot" ;;
  set*) echo "$3" >> "$state/acts"; off; on ;;
esac
"#;

/// Without the controller's word for it, it boots from a disk that it does not have. One processor: two that are emulated
/// each by a thread of QEMU 7.2 lock each other up now and then when the kernel changes its own code.
fn machine(directory: &Path) -> String {
    let at = directory.display();
    format!(
        "#!/bin/sh\n\
         order=c; [ \"$(cat '{at}/boot' 2> /dev/null)\" != pxe ] || order=n\n\
         exec setsid qemu-system-x86_64 -daemonize -pidfile '{at}/qemu.pid' -accel tcg -cpu max,vendor=GenuineIntel -smp 1 \
         -m 2048 -display none -qmp 'unix:{at}/monitor,server=on,wait=off' -serial 'file:{at}/console.out' -boot $order -smbios type=1,serial={SERIAL} \
         -drive 'file={at}/disk.img,if=none,id=d,format=raw' -device virtio-blk-pci,drive=d,serial={DISK} \
         -drive 'file={at}/nvme.img,if=none,id=e,format=raw' -device nvme,id=nvme0,drive=e,serial={NVME} \
         -netdev tap,id=n,ifname=rack0,script=no,downscript=no -device virtio-net-pci,netdev=n,mac={MAC}\n"
    )
}

/// The image with this very binary, built once for all tests of this run. Its kernel takes machine checks, which that for
/// clouds does not.
fn image() -> Result<PathBuf, String> {
    static IMAGE: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image");
        let mut command = Command::new(root().join("dist/image/build"));
        command.args(["--kernel", "linux-image-amd64", "--drivers", "virtual", "--muster", MUSTER, "--out"]);
        let output = command.arg(&out).stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.contains("apt cannot") {
            return Err(said);
        }
        assert!(output.status.success(), "{said}");
        println!("the image:\n{}", String::from_utf8_lossy(&output.stdout));
        Ok(out)
    });
    IMAGE.clone()
}

/// Whatever the hook started ends with the test.
struct Emulator(PathBuf);

impl Emulator {
    fn pid(&self) -> Option<Pid> {
        let pid: i32 = fs::read_to_string(&self.0).ok()?.trim().parse().ok()?;
        let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        String::from_utf8_lossy(&words).contains(self.0.to_str()?).then_some(Pid::from_raw(pid))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            kill(pid, Signal::SIGKILL).unwrap();
            wait_for("end of the emulator", Duration::from_secs(10), || {
                let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                if state.is_empty() || state.contains(") Z ") { Ok(()) } else { Err(state) }
            });
        }
    }
}

// Fields are dropped in this order: what uses the namespace goes before it.
pub(crate) struct Rack {
    emulator: Emulator,
    pub(crate) sim: IpmiSim,
    _services: [Process; 3],
    pub(crate) cluster: Cluster,
    /// An emulated processor takes a real one, and the control plane another.
    _alone: MutexGuard<'static, ()>,
}

impl Rack {
    /// Builds it, or says why it cannot be built here, in the form that is counted.
    pub(crate) fn build_or_say() -> Option<Self> {
        Self::build().map_err(|why| println!("could not run: {why}")).ok()
    }

    fn build() -> Result<Self, String> {
        if let Some(why) = unable().or_else(|| lacks_of("--for-slow-tests", &PROGRAMS)) {
            return Err(why);
        }
        if !Path::new("/dev/net/tun").exists() {
            return Err("there is no /dev/net/tun".to_owned());
        }
        let image = image()?;
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cluster = Cluster::new();
        cluster.allowed = &[
            (
                "Server cert bypassed",
                "a machine that joins asks for the authority before it can know it, and compares it with the hash it was given",
            ),
            (
                "is not begun: the API did not say within 500ms",
                "an emulated machine is slower than that at times; it says so and begins a moment later",
            ),
            (
                "what=\"step probation",
                "an emulated machine may need more than the two minutes of an attempt to start a container; another follows",
            ),
        ];
        let ip = |words: &[&str]| done(cluster.namespace.command("ip").args(words));
        ip(&["tuntap", "add", "rack0", "mode", "tap"]);
        ip(&["addr", "add", &format!("{ADDRESS}/24"), "dev", "rack0"]);
        ip(&["link", "set", "rack0", "up"]);
        let web = cluster.path("web");
        fs::create_dir(&web).unwrap();
        for name in ["vmlinuz", "initramfs.img"] {
            symlink(image.join(name), web.join(name)).unwrap();
        }
        let services = [control_plane(&cluster), dhcp(&cluster), http(&cluster, &web)];
        let directory = cluster.path("bmc");
        let sim = IpmiSim::start_in(&cluster.namespace, directory.clone(), HOOK);
        fs::write(directory.join("machine"), machine(&directory)).unwrap();
        let disk = directory.join("disk.img");
        fs::File::create(&disk).and_then(|file| file.set_len(1 << 30)).unwrap();
        done(Command::new("mkfs.ext4").args(["-q", "-L", "muster"]).arg(&disk));
        fs::File::create(directory.join("nvme.img")).and_then(|file| file.set_len(64 << 20)).unwrap();
        fs::set_permissions(directory.join("machine"), fs::Permissions::from_mode(0o755)).unwrap();
        // The harness looks for warnings and shows on failure what ends in .log.
        symlink(directory.join("console.out"), cluster.path("console.log")).unwrap();
        let emulator = Emulator(directory.join("qemu.pid"));
        let rack = Self { emulator, sim, _services: services, cluster, _alone: alone };
        rack.import();
        Ok(rack)
    }

    fn apply(&self, name: &str, text: &str) {
        let file = self.cluster.path(name);
        fs::write(&file, text).unwrap();
        let output = self.cluster.kubectl(&["apply", "--filename", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Changes an object by a JSON patch.
    pub(crate) fn patch(&self, kind: &str, name: &str, patch: &str) {
        let output = self.cluster.kubectl(&["patch", kind, name, "--type=json", "--patch", patch]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The record of the machine: what it is, what it shall become, where its controller answers.
    fn import(&self) {
        self.apply(
            "secret.yaml",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: rack-1, namespace: muster-system}\n\
             stringData: {username: admin, password: secret, cipherSuite: '3'}\n",
        );
        let file = self.cluster.path("machines.yaml");
        let text = format!(
            "apiVersion: muster.dev/v1alpha1\nkind: Machine\nmetadata: {{name: {NAME}}}\n\
             spec: {{site: here, serial: {SERIAL}, role: worker, bmc: {{address: '{}', secretRef: rack-1}}}}\n",
            self.sim.address()
        );
        fs::write(&file, text).unwrap();
        done(&mut self.cluster.muster(&["machine", "import", file.to_str().unwrap(), "--create-sites"]));
        wait_for("accepted machine", Duration::from_secs(10), || {
            let found = self.machine("/status/phase");
            if found == "Inspecting" { Ok(()) } else { Err(found) }
        });
    }

    /// Makes a token and the script by which the machine boots, with further `settings`; `other` goes into it in the
    /// token's place.
    /// Its kernel does not watch over its processor: an emulated one stands still at times, and the doctor would be right to say
    /// so.
    pub(crate) fn invite(&self, settings: &str, other: Option<&str>) {
        let words = ["token", "create", "--server", SERVER, "--machine", NAME, "-o", "json"];
        let made: Value = serde_json::from_str(&done(&mut self.cluster.muster(&words))).unwrap();
        let (token, hash) = (made["token"].as_str().unwrap(), made["caHash"].as_str().unwrap());
        let token = other.unwrap_or(token);
        let script = format!(
            "#!ipxe\nkernel http://{WEB}/vmlinuz initrd=initramfs.img console=ttyS0 quiet BOOTIF=01-${{net0/mac:hexhyp}} \
             nowatchdog rcupdate.rcu_cpu_stall_suppress=1 muster.machine={NAME} muster.server={SERVER} muster.token={token} muster.ca-hash={hash} {settings}\n\
             initrd http://{WEB}/initramfs.img\nboot\n"
        );
        fs::write(self.cluster.path("web/boot.ipxe"), script).unwrap();
    }

    /// A Run of the workflow that docs/netboot.md shows.
    pub(crate) fn boot_from_network(&self) {
        let workflow = root().join("dist/image/boot-from-network.yaml");
        let output = self.cluster.kubectl(&["apply", "--filename", workflow.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.apply(
            "run.yaml",
            &format!(
                "apiVersion: muster.dev/v1alpha1\nkind: Run\nmetadata: {{name: boot}}\n\
                 spec: {{workflow: boot-from-network, machine: {NAME}}}\n"
            ),
        );
    }

    /// By the verb of the command line, which waits for the end.
    pub(crate) fn power(&self, verb: &str) -> String {
        done(&mut self.cluster.muster(&["machine", "power", NAME, verb]))
    }

    /// The emulator, while the machine is on.
    pub(crate) fn emulator(&self) -> Option<Pid> {
        self.emulator.pid()
    }

    pub(crate) fn monitor(&self) -> Monitor {
        Monitor::of(&self.emulator.0.with_file_name("monitor"))
    }

    /// State and evidence of a Problem of the machine.
    pub(crate) fn problem(&self, name: &str) -> Result<(String, String), String> {
        let problem = self.cluster.get(&["problem", &format!("{NAME}.{name}")])?;
        let status = &problem["status"];
        Ok((status["state"].as_str().unwrap_or_default().to_owned(), status["evidence"].to_string()))
    }

    /// Does a workflow on the machine, by the command line.
    pub(crate) fn start(&self, workflow: &str, run: &str) {
        let words = ["run", "start", workflow, "--machine", NAME, "--name", run];
        println!("{}", done(&mut self.cluster.muster(&words)));
    }

    /// A part of the Machine, as text.
    pub(crate) fn machine(&self, pointer: &str) -> String {
        let machine = self.cluster.get(&["machine", NAME]).unwrap_or_default();
        let part = machine.pointer(pointer).cloned().unwrap_or_default();
        part.as_str().map_or_else(|| part.to_string(), str::to_owned)
    }

    pub(crate) fn run(&self, name: &str) -> Value {
        self.cluster.get(&["run", name]).unwrap_or_default()
    }

    /// What a log says so far.
    pub(crate) fn words(&self, name: &str) -> String {
        fs::read(self.cluster.path(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

fn control_plane(cluster: &Cluster) -> Process {
    let data_dir = cluster.data_dir.display().to_string();
    let listen = format!("{ADDRESS}:6443");
    let up = ["up", "--data-dir", &data_dir, "--machine", "head", "--listen", &listen, "--without-node"];
    let server = cluster.service("up", &up);
    wait_for("role worker", Duration::from_secs(60), || cluster.get(&["machinerole", "worker"]).map(|_| ()));
    server
}

fn dhcp(cluster: &Cluster) -> Process {
    let mut command = cluster.namespace.command("dnsmasq");
    command.args([
        "--no-daemon",
        "--conf-file=/dev/null",
        "--port=0",
        "--interface=rack0",
        "--bind-interfaces",
    ]);
    command.args(["--dhcp-range=10.99.0.100,10.99.0.200,1h", "--user=root"]);
    command.arg(format!("--dhcp-option=option:router,{ADDRESS}"));
    command.arg(format!("--dhcp-boot=http://{WEB}/boot.ipxe"));
    command.arg(format!("--dhcp-leasefile={}", cluster.path("leases").display()));
    Process::start(command, &cluster.path("dnsmasq.log"))
}

fn http(cluster: &Cluster, web: &Path) -> Process {
    let mut command = cluster.namespace.command("busybox");
    command.args(["httpd", "-f", "-p", WEB, "-h"]).arg(web);
    Process::start(command, &cluster.path("httpd.log"))
}
