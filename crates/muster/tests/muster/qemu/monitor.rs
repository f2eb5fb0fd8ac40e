//! What only the emulator can do to a machine, by its monitor (QMP).

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// A connection to the monitor of a machine that is on.
pub(crate) struct Monitor {
    lines: BufReader<UnixStream>,
}

impl Monitor {
    pub(super) fn of(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut monitor = Self { lines: BufReader::new(stream) };
        monitor.told(|greeting| greeting.get("QMP").is_some());
        monitor.does("qmp_capabilities", &json!({}));
        monitor
    }

    /// Events come between the answers.
    fn told(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "the monitor is gone");
            let said: Value = serde_json::from_str(&line).unwrap();
            assert!(said.get("error").is_none(), "{said}");
            if wanted(&said) {
                return said;
            }
        }
    }

    fn does(&mut self, command: &str, arguments: &Value) -> Value {
        let line = json!({ "execute": command, "arguments": arguments });
        writeln!(self.lines.get_mut(), "{line}").unwrap();
        self.told(|said| said.get("return").is_some())["return"].clone()
    }

    /// An uncorrected error that memory scrubbing found, told to all processors: the exception that the emulator itself
    /// raises for a bad page of its host, but for the address (Intel SDM 3B, 16.9.3).
    pub(crate) fn machine_check(&mut self) {
        let line = "mce -b 0 9 0xb1000000000000c0 0x5 0 0";
        let said = self.does("human-monitor-command", &json!({ "command-line": line }));
        assert_eq!(said, "", "{line}");
    }

    /// The critical warning in the health log of its NVMe disk (NVM Express base specification, log page 02h).
    pub(crate) fn nvme_warning(&mut self, bits: u8) {
        let value = json!({ "path": "/machine/peripheral/nvme0", "property": "smart_critical_warning", "value": bits });
        self.does("qom-set", &value);
    }

    /// Its processors stand still, and its power is on.
    pub(crate) fn hang(&mut self) {
        self.does("stop", &json!({}));
    }
}
