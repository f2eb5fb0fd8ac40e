//! What a machine's management controller told.

use std::collections::HashMap;

use jiff::Timestamp;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sensors a reading keeps; of more, those that are bad come first.
pub const SENSORS_KEPT: usize = 256;
/// Events a reading keeps; older ones stand in the controller's own log.
pub const EVENTS_KEPT: usize = 32;

/// There is nothing to intend: a reading is observed only.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "muster.dev",
    version = "v1alpha1",
    kind = "BmcReading",
    status = "BmcReadingStatus",
    derive = "PartialEq",
    doc = "What a machine's management controller told; it bears its machine's name and is written by the actor that speaks with the controllers alone.",
    category = "muster",
    printcolumn(name = "Answers", type_ = "boolean", json_path = ".status.reachable"),
    printcolumn(name = "Power", type_ = "string", json_path = ".status.power"),
    printcolumn(name = "Observed", type_ = "date", json_path = ".status.observedAt"),
    printcolumn(name = "Serial", type_ = "string", json_path = ".status.identity.serial", priority = 1),
    printcolumn(name = "Firmware", type_ = "string", json_path = ".status.identity.firmware", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
pub struct BmcReadingSpec {}

/// One reading, and since when the controller answers or is silent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BmcReadingStatus {
    /// When the controller was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
    /// Whether it answered.
    #[serde(default)]
    pub reachable: bool,
    /// Since when it answers, or since when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u32,
    /// Why it could not be read, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Power state: `On`, `Off`, `Changing` or `Unknown`, as last seen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub power: String,
    /// What it says the machine is.
    #[serde(default)]
    pub identity: Identity,
    /// Temperatures, fans, power, as last read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub sensors: Vec<Sensor>,
    /// When identity, sensors and events were last read; rarer than the power state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail_at: Option<Timestamp>,
    /// The last records of its event log, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub events: Vec<LogRecord>,
}

/// What a controller says a machine is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Maker of the machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub manufacturer: String,
    /// Model of the machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Serial number of the machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// Firmware version of the controller.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub firmware: String,
    /// Hardware addresses of the network cards the controller knows, or its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub macs: Vec<String>,
}

/// One sensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sensor {
    /// Its name at the controller.
    pub name: String,
    /// The value; absent where it gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Unit: `Cel`, `RPM`, `%`, `W`, `V` …, as the controller says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// The controller's own verdict.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub health: String,
}

/// One record of a controller's event log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogRecord {
    /// Its identity in the log.
    pub id: String,
    /// When, as the controller writes it: its clock may be wrong or may never have been set.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub at: String,
    /// The controller's own severity.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub severity: String,
    /// What happened.
    pub message: String,
}

impl Sensor {
    /// Whether the controller's verdict is bad: one of Redfish, or one of IPMI (non-critical, critical, non-recoverable).
    pub fn is_bad(&self) -> bool {
        matches!(
            self.health.to_ascii_lowercase().as_str(),
            "warning" | "critical" | "nc" | "cr" | "nr" | "lcr" | "ucr" | "lnr" | "unr" | "lnc" | "unc"
        )
    }

    /// What a reading keeps of all sensors, in their order. Of several that bear one name it is the first, or the first
    /// that is bad.
    #[must_use]
    pub fn kept(all: Vec<Self>) -> Vec<Self> {
        let mut kept: Vec<Self> = Vec::new();
        let mut places: HashMap<(String, String), usize> = HashMap::new();
        for sensor in all {
            let place = *places.entry((sensor.name.clone(), sensor.unit.clone())).or_insert(kept.len());
            match kept.get_mut(place) {
                None => kept.push(sensor),
                Some(same) if sensor.is_bad() && !same.is_bad() => *same = sensor,
                Some(_) => {}
            }
        }
        if SENSORS_KEPT < kept.len() {
            kept.sort_by_key(|sensor| !sensor.is_bad());
            kept.truncate(SENSORS_KEPT);
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_sensors_none_that_is_bad_is_lost() {
        let sensor = |number: usize| Sensor {
            name: format!("s{number}"),
            value: None,
            unit: "Cel".to_owned(),
            health: if number == SENSORS_KEPT { "Critical" } else { "OK" }.to_owned(),
        };
        let kept = Sensor::kept((0..=SENSORS_KEPT).map(sensor).collect());
        assert_eq!(kept.len(), SENSORS_KEPT);
        assert_eq!((kept[0].name.as_str(), kept[1].name.as_str()), ("s256", "s0"));
        let few = [sensor(1), sensor(SENSORS_KEPT)].to_vec();
        assert_eq!(Sensor::kept(few.clone()), few);
        let bad = Sensor { health: "cr".to_owned(), ..sensor(1) };
        let fan = Sensor { unit: "RPM".to_owned(), ..sensor(1) };
        let of_one_name = [sensor(1), fan.clone(), bad.clone(), sensor(1)].to_vec();
        assert_eq!(Sensor::kept(of_one_name), [bad, fan], "one of a name clears when all are well");
    }
}
