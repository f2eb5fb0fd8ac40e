//! What `ipmitool` prints.

use std::collections::BTreeMap;

use muster_api::inventory::bmc::{EVENTS_KEPT, Identity, LogRecord, Sensor};
use muster_api::order::Answer;

use crate::bmc::{Power, Read, ReadError};

const WORDS_MAX: usize = 300;

/// The last line of what it complained about; what it printed, where it did not complain.
pub(super) fn last_words(complaints: &str, told: &str) -> String {
    let line =
        |text: &str| text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
    let words =
        line(complaints).or_else(|| line(told)).unwrap_or_else(|| "ipmitool gave no reason".to_owned());
    words.chars().take(WORDS_MAX).collect()
}

/// No session, so nothing was sent in one.
fn had_no_session(words: &str) -> bool {
    words.contains("Unable to establish")
        || words.contains("Could not open socket")
        || words.contains("Address lookup")
}

pub(super) fn failure(words: String) -> ReadError {
    let lower = words.to_lowercase();
    if had_no_session(&words) {
        let hint =
            "no session; it is down, or user, password, privilege level or cipherSuite are not its own";
        return ReadError::Silent(format!("{hint} ({words})"));
    }
    if lower.contains("privilege") || lower.contains("password") {
        return ReadError::Denied(words);
    }
    if lower.contains("not present") || lower.contains("invalid command") || lower.contains("not found") {
        return ReadError::Absent(words);
    }
    ReadError::Strange(words)
}

/// What a failed command means: a completion code is an answer, everything else is not.
pub(super) fn answer(words: &str) -> Answer {
    if had_no_session(words) {
        return Answer::NotSent;
    }
    let codes = [
        "Command not supported",
        "Invalid command",
        "Insufficient privilege",
        "Invalid data field",
        "Parameter out of range",
        "Command response could not be provided",
        "Node busy",
        "not supported in present state",
    ];
    if codes.iter().any(|code| words.to_lowercase().contains(&code.to_lowercase())) {
        return Answer::Refused;
    }
    Answer::Silence
}

pub(super) fn power(text: &str) -> Read<Power> {
    match text.trim() {
        "Chassis Power is on" => Ok(Power::On),
        "Chassis Power is off" => Ok(Power::Off),
        other => Err(ReadError::Strange(last_words(other, ""))),
    }
}

fn fields(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.trim(), value.trim()))
        .filter(|(key, value)| !key.is_empty() && !value.is_empty())
        .collect()
}

pub(super) fn identity(controller: &str, board: &str, lan: &str) -> Identity {
    let (controller, board, lan) = (fields(controller), fields(board), fields(lan));
    let first = |keys: &[&str]| {
        keys.iter().find_map(|key| board.get(key)).map(|text| (*text).to_owned()).unwrap_or_default()
    };
    let mac = lan.get("MAC Address").filter(|mac| **mac != "00:00:00:00:00:00");
    Identity {
        manufacturer: first(&["Product Manufacturer", "Board Mfg"]),
        model: first(&["Product Name", "Board Product"]),
        serial: first(&["Product Serial", "Chassis Serial", "Board Serial"]),
        firmware: controller.get("Firmware Revision").map(|text| (*text).to_owned()).unwrap_or_default(),
        macs: mac.map(|mac| mac.to_lowercase()).into_iter().collect(),
    }
}

/// An empty sensor repository is left alone.
pub(super) fn has_no_records(info: &str) -> bool {
    fields(info).get("Record Count").is_none_or(|count| *count == "0")
}

/// Lines of `name,value,unit,status`.
pub(super) fn sensors(text: &str) -> Vec<Sensor> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let [name, value, unit, health, ..] = cells.as_slice() else { return None };
        let unit = match *unit {
            "degrees C" => "Cel",
            "Watts" => "W",
            "Volts" => "V",
            "percent" => "%",
            other => other,
        };
        let value: Option<f64> = value.parse().ok();
        (value.is_some() || !matches!(*health, "ns" | "")).then(|| Sensor {
            name: (*name).to_owned(),
            value,
            unit: unit.to_owned(),
            health: (*health).to_owned(),
        })
    };
    Sensor::kept(text.lines().filter_map(row).collect())
}

/// Lines of `id,date,time,sensor,event,direction`; the date is `Pre-Init` where the clock was not set.
pub(super) fn events(text: &str) -> Vec<LogRecord> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let [id, date, time, what @ ..] = cells.as_slice() else { return None };
        let is_id = !id.is_empty() && id.chars().all(|c| c.is_ascii_hexdigit());
        is_id.then(|| LogRecord {
            id: (*id).to_owned(),
            at: format!("{date} {time}"),
            severity: String::new(),
            message: what.join(", "),
        })
    };
    let rows: Vec<LogRecord> = text.lines().filter_map(row).collect();
    rows[rows.len().saturating_sub(EVENTS_KEPT)..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_completion_code_is_an_answer_and_no_session_means_not_sent() {
        for (words, expected) in [
            ("Error: Unable to establish IPMI v2 / RMCP+ session", Answer::NotSent),
            (
                "Set Chassis Power Control to Soft failed: Command not supported in present state",
                Answer::Refused,
            ),
            ("Set Chassis Power Control to Reset failed: Insufficient privilege level", Answer::Refused),
            ("Set Chassis Power Control to Reset failed", Answer::Silence),
            ("", Answer::Silence),
        ] {
            assert_eq!(answer(words), expected, "{words}");
        }
    }

    #[test]
    fn power_states_are_words_and_nothing_else() {
        assert_eq!(power("Chassis Power is on\n"), Ok(Power::On));
        assert_eq!(power("Chassis Power is off\n"), Ok(Power::Off));
        assert!(power("").is_err());
    }

    #[test]
    fn an_identity_is_read_from_three_answers_and_a_mac_of_zeros_is_none() {
        let controller = "Device ID                 : 0\nFirmware Revision         : 9.08\n";
        let board = "FRU Device Description : Builtin FRU Device (ID 0)\n Board Mfg             : ACME\n Board Serial          : B1\n Product Name          : S-1\n Product Serial        : P7\n";
        let lan = "MAC Address             : 00:25:90:AB:CD:EF\n";
        let seen = identity(controller, board, lan);
        assert_eq!(
            (seen.manufacturer.as_str(), seen.model.as_str(), seen.serial.as_str()),
            ("ACME", "S-1", "P7")
        );
        assert_eq!((seen.firmware.as_str(), seen.macs), ("9.08", vec!["00:25:90:ab:cd:ef".to_owned()]));
        assert_eq!(identity(controller, "", "MAC Address : 00:00:00:00:00:00\n").macs, Vec::<String>::new());
    }

    #[test]
    fn sensors_without_a_value_are_left_out_and_units_are_shortened() {
        let text = "CPU Temp,41,degrees C,ok\nFAN1,3000,RPM,ok\nFAN2,,RPM,ns\nPS1,,discrete,nr\nnonsense\n";
        let seen: Vec<String> = sensors(text)
            .into_iter()
            .map(|s| format!("{} {:?} {} {}", s.name, s.value, s.unit, s.health))
            .collect();
        assert_eq!(seen, ["CPU Temp Some(41.0) Cel ok", "FAN1 Some(3000.0) RPM ok", "PS1 None discrete nr"]);
        assert!(has_no_records("Record Count                        : 0\n") && has_no_records(""));
        assert!(!has_no_records("Record Count                        : 12\n"));
    }

    #[test]
    fn the_last_records_of_a_log_are_kept_with_their_ids() {
        let text = "SEL has no entries\n1, Pre-Init ,0000002561,Memory #0x53,Correctable ECC,Asserted\n";
        let record = LogRecord {
            id: "1".to_owned(),
            at: "Pre-Init 0000002561".to_owned(),
            severity: String::new(),
            message: "Memory #0x53, Correctable ECC, Asserted".to_owned(),
        };
        assert_eq!(events(text), [record]);
        let many: String =
            (0..40).map(|n| format!("{n:x},01/02/2026,10:00:00,Fan #0x1,Lower,Asserted\n")).collect();
        assert_eq!(events(&many).first().unwrap().id, "8");
    }
}
