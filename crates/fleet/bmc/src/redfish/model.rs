//! Redfish documents as controllers really send them: keys in another case, members missing, numbers as text.

use muster_api::inventory::bmc::{EVENTS_KEPT, LogRecord, Sensor};
use serde_json::Value;

/// The member of that name; another case will do.
pub(super) fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object
        .get(name)
        .or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
        .filter(|value| !value.is_null())
}

/// The member at a path of names; a number stands for a place in a list.
pub(super) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| match name.parse::<usize>() {
        Ok(index) => value.get(index),
        Err(_) => member(value, name),
    })
}

/// Text at a path; empty where there is none.
pub(super) fn text(value: &Value, path: &[&str]) -> String {
    at(value, path).and_then(Value::as_str).unwrap_or_default().trim().to_owned()
}

/// A number at a path, also where it is written as text.
fn number(value: &Value, path: &[&str]) -> Option<f64> {
    let found = at(value, path)?;
    found.as_f64().or_else(|| found.as_str()?.trim().parse().ok())
}

/// The path a link points to.
pub(super) fn link(value: &Value, path: &[&str]) -> Option<String> {
    let link = text(at(value, path)?, &["@odata.id"]);
    link.starts_with('/').then_some(link)
}

fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The paths of the members of a collection.
pub(super) fn members(collection: &Value) -> Vec<String> {
    list(collection, &["Members"]).iter().filter_map(|member| link(member, &[])).collect()
}

/// The values a controller says it allows; none where it does not say.
pub(super) fn allowed(value: &Value, path: &[&str]) -> Vec<String> {
    list(value, path).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// `wanted` in the controller's own spelling, where it allows it or does not say.
pub(super) fn spelled(wanted: &str, allowed: &[String]) -> Option<String> {
    if allowed.is_empty() {
        return Some(wanted.to_owned());
    }
    allowed.iter().find(|one| one.eq_ignore_ascii_case(wanted)).cloned()
}

/// What an error answer says.
pub(super) fn complaint(body: &Value) -> String {
    let detailed = text(body, &["error", "@Message.ExtendedInfo", "0", "Message"]);
    let words = if detailed.is_empty() { text(body, &["error", "message"]) } else { detailed };
    words.chars().take(300).collect()
}

fn sensor(value: &Value, reading: &str, unit: &str) -> Option<Sensor> {
    let name = [text(value, &["Name"]), text(value, &["FanName"]), text(value, &["MemberId"])];
    let name = name.into_iter().find(|name| !name.is_empty())?;
    let (found, health) = (number(value, &[reading]), text(value, &["Status", "Health"]));
    (found.is_some() || !health.is_empty()).then(|| Sensor {
        name,
        value: found,
        unit: unit.to_owned(),
        health,
    })
}

/// Temperatures and fans of a `Thermal`, power of a `Power` document.
pub(super) fn sensors(thermal: &Value, power: &Value) -> Vec<Sensor> {
    let temperatures =
        list(thermal, &["Temperatures"]).iter().filter_map(|one| sensor(one, "ReadingCelsius", "Cel"));
    let fans = list(thermal, &["Fans"]).iter().filter_map(|one| {
        let unit = match text(one, &["ReadingUnits"]).as_str() {
            "Percent" => "%",
            _ => "RPM",
        };
        sensor(one, "Reading", unit)
    });
    let watts =
        list(power, &["PowerControl"]).iter().filter_map(|one| sensor(one, "PowerConsumedWatts", "W"));
    let supplies =
        list(power, &["PowerSupplies"]).iter().filter_map(|one| sensor(one, "LastPowerOutputWatts", "W"));
    Sensor::kept(temperatures.chain(fans).chain(watts).chain(supplies).collect())
}

/// The last records of a log's entries, oldest first: by their time, for controllers list them either way.
pub(super) fn events(entries: &Value) -> Vec<LogRecord> {
    let mut records: Vec<LogRecord> = list(entries, &["Members"])
        .iter()
        .map(|entry| LogRecord {
            id: text(entry, &["Id"]),
            at: text(entry, &["Created"]),
            severity: text(entry, &["Severity"]),
            message: text(entry, &["Message"]).chars().take(300).collect(),
        })
        .filter(|record| !record.id.is_empty())
        .collect();
    records.sort_by(|a, b| {
        (&a.at, a.id.parse::<u64>().ok(), &a.id).cmp(&(&b.at, b.id.parse::<u64>().ok(), &b.id))
    });
    records.split_off(records.len().saturating_sub(EVENTS_KEPT))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn another_case_a_null_and_a_missing_member_are_borne() {
        let system = json!({"powerstate": "On", "SerialNumber": null, "Links": {"ManagedBy": [{"@odata.id": "/m/1"}]}});
        assert_eq!(text(&system, &["PowerState"]), "On");
        assert_eq!(text(&system, &["SerialNumber"]), "");
        assert_eq!(link(&system, &["Links", "ManagedBy", "0"]).as_deref(), Some("/m/1"));
        assert_eq!(link(&system, &["Links", "Chassis", "0"]), None);
        assert_eq!(spelled("Cd", &["CD".to_owned()]).as_deref(), Some("CD"));
        assert_eq!(spelled("Cd", &["Pxe".to_owned()]), None);
        assert_eq!(spelled("Cd", &[]).as_deref(), Some("Cd"));
    }

    #[test]
    fn sensors_keep_their_unit_and_verdict() {
        let thermal = json!({
            "Temperatures": [{"Name": "CPU", "ReadingCelsius": "41", "Status": {"Health": "OK"}}, {"Name": "Absent"}],
            "Fans": [{"FanName": "F1", "Reading": 30, "ReadingUnits": "Percent"}],
        });
        let power = json!({"PowerControl": [{"MemberId": "0", "PowerConsumedWatts": 344}]});
        let seen: Vec<String> = sensors(&thermal, &power)
            .into_iter()
            .map(|s| format!("{} {:?} {} {}", s.name, s.value, s.unit, s.health))
            .collect();
        assert_eq!(seen, ["CPU Some(41.0) Cel OK", "F1 Some(30.0) % ", "0 Some(344.0) W "]);
    }

    #[test]
    fn records_come_oldest_first_whichever_way_they_are_listed() {
        let entries = json!({"Members": [
            {"Id": "10", "Created": "2026-01-02T00:00:00Z", "Severity": "Critical", "Message": "b"},
            {"Id": "9", "Created": "2026-01-02T00:00:00Z", "Message": "a"},
            {"Created": "2026-01-03T00:00:00Z"},
        ]});
        let ids: Vec<String> = events(&entries).into_iter().map(|record| record.id).collect();
        assert_eq!(ids, ["9", "10"]);
    }
}
