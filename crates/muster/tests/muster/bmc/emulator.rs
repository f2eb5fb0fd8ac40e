//! `ipmi_sim` with a hook that logs every power act, and `sushy-emulator --fake`.

use std::fmt::Write as _;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::crash::free_port;
use crate::harness::{Namespace, Process, command_in, root, wait_for};

/// Why a test with these programs cannot run here.
pub(crate) fn lacks(programs: &[&str]) -> Option<String> {
    lacks_of("--for-tests", programs)
}

/// The same, for programs that `dist/packages.sh` brings under that flag.
pub(crate) fn lacks_of(flag: &str, programs: &[&str]) -> Option<String> {
    let missing = |program: &&&str| {
        let found =
            Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
        !found.is_ok_and(|status| status.success())
    };
    let program = programs.iter().find(missing)?;
    Some(format!("{program} is not installed: dist/packages.sh {flag}"))
}

/// One emulated machine with an IPMI controller.
pub(crate) struct IpmiSim {
    directory: PathBuf,
    /// The network namespace it answers in, where that is not this one.
    namespace: Option<String>,
    pub(crate) port: u16,
    pub(crate) process: Process,
}

const HOOK: &str = r#"#!/bin/sh
state=$(dirname "$0")
case "$2 $3" in
  "get power") echo "power:$(cat "$state/power" 2> /dev/null || echo 0)" ;;
  "get boot") echo "boot:$(cat "$state/boot" 2> /dev/null || echo none)" ;;
  "set power") echo "power $4" >> "$state/acts"; echo "$4" > "$state/power" ;;
  "set shutdown") echo "shutdown" >> "$state/acts"; echo 0 > "$state/power" ;;
  "set boot") echo "$4" > "$state/boot" ;;
  set*) echo "$3" >> "$state/acts" ;;
esac
"#;

const EMULATION: &str = "mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
";

fn within(namespace: Option<&str>, program: &str) -> Command {
    namespace.map_or_else(|| Command::new(program), |name| command_in(name, program))
}

fn configuration(directory: &Path, port: u16) -> String {
    let auth = "none md2 md5 straight";
    let mut text = format!(
        "name \"sim\"\nset_working_mc 0x20\n startlan 1\n  addr 127.0.0.1 {port}\n  priv_limit admin\n"
    );
    for level in ["callback", "user", "operator", "admin"] {
        writeln!(text, "  allowed_auths_{level} {auth}").unwrap();
    }
    let hook = directory.join("hook");
    write!(
        text,
        "  guid a123456789abcdefa123456789abcdef\n endlan\n chassis_control \"{} sim\"\n",
        hook.display()
    )
    .unwrap();
    write!(
        text,
        " user 1 true \"\" \"test\" user 10 {auth}\n user 2 true \"admin\" \"secret\" admin 10 {auth}\n"
    )
    .unwrap();
    text
}

impl IpmiSim {
    /// Starts one whose power is a file.
    pub(crate) fn start(directory: PathBuf) -> Self {
        Self::start_with(directory, HOOK, None)
    }

    /// Starts one that takes its time over every act before it answers.
    pub(crate) fn start_slow(directory: PathBuf) -> Self {
        let slow =
            HOOK.replace("case \"$2 $3\" in", "case \"$2\" in set) sleep 3 ;; esac\ncase \"$2 $3\" in");
        assert_ne!(slow, HOOK);
        Self::start_with(directory, &slow, None)
    }

    /// Starts one in a namespace, with `hook` as what its power is.
    pub(crate) fn start_in(namespace: &Namespace, directory: PathBuf, hook: &str) -> Self {
        Self::start_with(directory, hook, Some(namespace.name().to_owned()))
    }

    /// It may silently not bind, so a session with it is opened before it counts.
    fn start_with(directory: PathBuf, hook: &str, namespace: Option<String>) -> Self {
        fs::create_dir_all(directory.join("state")).unwrap();
        fs::write(directory.join("hook"), hook).unwrap();
        fs::set_permissions(directory.join("hook"), fs::Permissions::from_mode(0o755)).unwrap();
        for _ in 0..5 {
            let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let sim = Self::start_at(directory.clone(), namespace.clone(), port);
            let deadline = std::time::Instant::now() + Duration::from_secs(5);
            while std::time::Instant::now() < deadline {
                if sim.answers() {
                    return sim;
                }
            }
        }
        panic!("ipmi_sim bound none of five ports");
    }

    fn start_at(directory: PathBuf, namespace: Option<String>, port: u16) -> Self {
        fs::write(directory.join("lan.conf"), configuration(&directory, port)).unwrap();
        fs::write(directory.join("sim.emu"), EMULATION).unwrap();
        let mut command = within(namespace.as_deref(), "ipmi_sim");
        command.arg("-c").arg(directory.join("lan.conf")).arg("-f").arg(directory.join("sim.emu"));
        command.arg("-s").arg(directory.join("state")).arg("-n");
        let process = Process::start(command, &directory.join("sim.out"));
        Self { directory, namespace, port, process }
    }

    fn answers(&self) -> bool {
        let mut command = within(self.namespace.as_deref(), "ipmitool");
        command.args(["-I", "lanplus", "-C", "3", "-H", "127.0.0.1", "-p", &self.port.to_string()]);
        command.args(["-U", "admin", "-E", "-N", "1", "-R", "1", "chassis", "power", "status"]);
        command.env("IPMI_PASSWORD", "secret").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Every power act since the last call of [`Self::forget`].
    pub(crate) fn acts(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory.join("acts")).unwrap_or_default();
        text.lines().filter(|line| *line != "identify").map(str::to_owned).collect()
    }

    /// Off, and with an empty log.
    pub(crate) fn forget(&self) {
        for name in ["acts", "power", "boot"] {
            if let Err(error) = fs::remove_file(self.directory.join(name)) {
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
            }
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        fs::read_to_string(self.directory.join("power")).unwrap_or_default().trim() == "1"
    }

    pub(crate) fn address(&self) -> String {
        format!("ipmi://127.0.0.1:{}", self.port)
    }
}

/// Many Redfish systems behind one service.
pub(crate) struct Sushy {
    pub(crate) port: u16,
    _process: Process,
}

/// Name of the system with that number.
pub(crate) fn system(number: usize) -> String {
    format!("11111111-0000-0000-0000-{number:012}")
}

impl Sushy {
    /// Starts one, or says why it cannot.
    pub(crate) fn start(directory: &Path, systems: usize) -> Result<Self, String> {
        let folder =
            Command::new(root().join("tests/emulators")).output().map_err(|error| error.to_string())?;
        if !folder.status.success() {
            return Err(String::from_utf8_lossy(&folder.stderr).into_owned());
        }
        let program = Path::new(String::from_utf8_lossy(&folder.stdout).trim()).join("sushy-emulator");
        let port = free_port();
        let mut text =
            format!("SUSHY_EMULATOR_LISTEN_IP = '127.0.0.1'\nSUSHY_EMULATOR_LISTEN_PORT = {port}\n");
        text.push_str("SUSHY_EMULATOR_FAKE_SYSTEMS = [\n");
        for number in 0..systems {
            writeln!(
                text,
                "{{'uuid': '{}', 'name': 'n{number}', 'power_state': 'Off', 'nics': [{{'mac': '00:5c:52:31:{:02x}:{:02x}', 'ip': '172.22.0.1'}}]}},",
                system(number),
                number / 256,
                number % 256
            )
            .unwrap();
        }
        text.push_str("]\n");
        fs::write(directory.join("sushy.conf"), text).unwrap();
        let mut command = Command::new(program);
        command.arg("--config").arg(directory.join("sushy.conf")).arg("--fake");
        let process = Process::start(command, &directory.join("sushy.log"));
        wait_for("sushy-emulator", Duration::from_secs(30), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|error| error.to_string())
        });
        Ok(Self { port, _process: process })
    }
}
