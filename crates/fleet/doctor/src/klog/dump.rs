//! Kernel logs as people have them: what `dmesg` and `journalctl -k` print.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::replay::RecordedLine;

/// The program that the kernel's lines bear in a journal.
const KERNEL: &str = "kernel";

/// The lines of a log, and how many of it were not the kernel's, or not understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// The kernel's.
    pub lines: Vec<RecordedLine>,
    /// Others.
    pub left_out: u64,
}

/// Reads `dmesg`, `dmesg --time-format iso`, `journalctl -k -o short-iso`, `-o short-iso-precise` or `-o json`. `machine`
/// is whose they are where they do not say so. Where they count from the boot alone, the last of them is said at `now`.
pub fn read_dump(text: &str, machine: &str, now: Timestamp) -> Dump {
    let mut dump = Dump::default();
    let mut since_boot = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if let Some((at, text)) = after_boot(line) {
            since_boot.push((at, text.to_owned()));
        } else if let Some(line) = journal(line, machine).or_else(|| iso(line, machine)) {
            dump.lines.push(line);
        } else {
            dump.left_out += 1;
        }
    }
    let end = since_boot.iter().map(|(at, _)| *at).max().unwrap_or_default();
    dump.lines.extend(since_boot.into_iter().map(|(at, text)| RecordedLine {
        at: now.saturating_sub(end - at).unwrap_or(now),
        machine: machine.to_owned(),
        text,
    }));
    dump
}

/// `[ 1234.567890] text`.
fn after_boot(line: &str) -> Option<(SignedDuration, &str)> {
    let (seconds, text) = line.strip_prefix('[')?.split_once("] ")?;
    let at = SignedDuration::try_from_secs_f64(seconds.trim().parse().ok()?).ok()?;
    Some((at, text))
}

/// One object a line.
fn journal(line: &str, machine: &str) -> Option<RecordedLine> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let word = |name: &str| entry.get(name).and_then(Value::as_str);
    let is_kernels = word("_TRANSPORT") == Some(KERNEL) || word("SYSLOG_IDENTIFIER") == Some(KERNEL);
    let at = Timestamp::from_microsecond(word("__REALTIME_TIMESTAMP")?.parse().ok()?).ok()?;
    let text = word("MESSAGE").filter(|_| is_kernels)?.to_owned();
    Some(RecordedLine { at, machine: word("_HOSTNAME").unwrap_or(machine).to_owned(), text })
}

/// `TIME HOST kernel: text`, or `TIME text` of dmesg, which writes a comma in its times.
fn iso(line: &str, machine: &str) -> Option<RecordedLine> {
    let (time, rest) = line.split_once(' ')?;
    let at = time
        .replace(',', ".")
        .parse()
        .or_else(|_| Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", time))
        .ok()?;
    let named = rest.split_once(' ').filter(|_| !time.contains(','));
    let (host, text) = match named {
        Some((host, rest)) => (host, rest.strip_prefix(KERNEL)?.strip_prefix(": ")?),
        None => (machine, rest),
    };
    Some(RecordedLine { at, machine: host.to_owned(), text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<String>, u64) {
        let dump = read_dump(text, "here", "2026-11-29T12:00:00Z".parse().unwrap());
        let row = |line: &RecordedLine| format!("{} {} {}", line.at, line.machine, line.text);
        (dump.lines.iter().map(row).collect(), dump.left_out)
    }

    #[test]
    fn what_dmesg_and_the_journal_print_is_read_and_other_programs_are_left_out() {
        let same = "ata1: hard reset";
        for (line, machine) in [
            (format!("2026-11-29T05:00:00+0000 m7 kernel: {same}"), "m7"),
            (format!("2026-11-29T06:00:00+01:00 m7 kernel: {same}"), "m7"),
            (format!("2026-11-29T05:00:00,000000+00:00 {same}"), "here"),
            (
                format!(
                    r#"{{"__REALTIME_TIMESTAMP":"1795928400000000","_TRANSPORT":"kernel","_HOSTNAME":"m7","MESSAGE":"{same}"}}"#
                ),
                "m7",
            ),
        ] {
            assert_eq!(read(&line), (vec![format!("2026-11-29T05:00:00Z {machine} {same}")], 0), "{line}");
        }
        for line in [
            "2026-11-29T05:00:00+0000 m7 sshd[1]: kernel: forged",
            r#"{"__REALTIME_TIMESTAMP":"1795928400000000","_TRANSPORT":"stdout","MESSAGE":"kernel: forged"}"#,
            "-- Boot 1234 --",
        ] {
            assert_eq!(read(line), (Vec::new(), 1), "{line}");
        }
    }

    #[test]
    fn times_from_the_boot_on_end_now() {
        let expected = ["2026-11-29T11:59:50Z here first", "2026-11-29T12:00:00Z here last"];
        assert_eq!(read("[    5.000000] first\n[   15.000000] last\n").0, expected);
    }
}
