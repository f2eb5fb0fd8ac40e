//! What the API tells of this machine: its planned maintenance, its hardware against its profile, its settings against its
//! role, its management controller's sensors. And whether the API answers at all.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use kube::{Api, Client};
use muster_api::inventory::InventoryStatus;
use muster_api::inventory::bmc::{BmcReadingStatus, Sensor};
use muster_api::machine::{Maintenance, Phase};
use muster_api::{BmcReading, Inventory, Machine, MachineRole};
use muster_control::explain;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::kernel::{Roots, line};
use crate::rule::{Finding, Look, Rest, Rule, Sign};

const SOURCE: &str = "objects";
const EVERY: Duration = Duration::from_secs(48);
/// Rest while the API does not answer, and before something bad is looked at a second time.
const AGAIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The role is read in every so many looks.
const ROLE_EVERY: u32 = 5;
/// What is told of one part at most.
const TOLD_MAX: usize = 5;

/// What may be found here.
#[derive(Clone)]
pub(crate) struct Rules {
    unreachable: Arc<Rule>,
    missing: Arc<Rule>,
    drift: Arc<Rule>,
    hot: Arc<Rule>,
    fan: Arc<Rule>,
    power: Arc<Rule>,
}

impl Rules {
    pub(crate) fn new() -> Self {
        Self {
            unreachable: Rule::level(SOURCE, "api-unreachable", "api.unreachable", 3, 20),
            missing: Rule::level(SOURCE, "hardware-missing", "hardware.missing", 2, 60),
            drift: Rule::level(SOURCE, "drift", "drift", 2, 60),
            hot: Rule::level(SOURCE, "sensor-temperature", "temp.high", 1, 120),
            fan: Rule::level(SOURCE, "sensor-fan", "fan.failed", 1, 120),
            power: Rule::level(SOURCE, "sensor-power", "power.failed", 1, 120),
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Rule>> {
        [&self.unreachable, &self.missing, &self.drift, &self.hot, &self.fan, &self.power]
            .map(Arc::clone)
            .into()
    }

    /// A firmware is there, though another; what else the profile demands is missing.
    fn hardware(&self, inventory: &InventoryStatus) -> Vec<Finding> {
        let (other, missing): (Vec<&String>, Vec<&String>) =
            inventory.missing.iter().partition(|part| part.starts_with("firmware"));
        vec![
            Finding::of(&self.missing, "", told(&missing)),
            Finding::of(&self.drift, "firmware", told(&other)),
        ]
    }

    fn sensors(&self, reading: &BmcReadingStatus) -> Vec<Finding> {
        if !reading.reachable {
            return Vec::new();
        }
        let of = |sensor: &Sensor| {
            let rule = match sensor.unit.as_str() {
                "Cel" => &self.hot,
                "RPM" | "%" => &self.fan,
                "W" | "V" | "A" | "Amps" => &self.power,
                _ => return None,
            };
            let value = sensor.value.map(|value| format!(" at {value} {}", sensor.unit)).unwrap_or_default();
            let bad = sensor.is_bad().then(|| format!("{}{value}: {}", sensor.name, sensor.health));
            Some(Finding::of(rule, &sensor.name, bad))
        };
        reading.sensors.iter().filter_map(of).collect()
    }

    fn settings(&self, role: &MachineRole, roots: &Roots) -> Finding {
        let differs = |(key, wanted): (&String, &String)| {
            let there = line(&roots.proc.join("sys").join(key.replace('.', "/")))?;
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            (words(&there) != words(wanted)).then(|| format!("{key}: {wanted:?}, {there:?} found"))
        };
        let other: Vec<String> = role.spec.sysctls.iter().filter_map(differs).collect();
        Finding::of(&self.drift, "sysctls", told(&other.iter().collect::<Vec<_>>()))
    }
}

fn told(parts: &[&String]) -> Option<String> {
    let kept: Vec<&str> = parts.iter().take(TOLD_MAX).map(|part| part.as_str()).collect();
    let more = parts.len().saturating_sub(TOLD_MAX);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    (!parts.is_empty()).then(|| format!("{}{more}", kept.join("; ")))
}

/// Asks the API.
pub(crate) struct Objects {
    pub(crate) client: Client,
    pub(crate) machine: String,
    pub(crate) roots: Roots,
    pub(crate) rules: Rules,
    pub(crate) to: mpsc::Sender<Look>,
    pub(crate) plans: watch::Sender<Plans>,
}

impl Objects {
    /// Asks until shutdown.
    pub(crate) async fn watch(self, token: CancellationToken) {
        let (mut round, mut role, mut was_bad) = (0_u32, None, false);
        loop {
            if round.is_multiple_of(ROLE_EVERY) {
                role = None;
            }
            let asked = async {
                let (look, answers) = self.look(&mut role).await;
                let is_bad = look.found.iter().any(|finding| matches!(finding.sign, Sign::Bad(_)));
                (self.to.send(look).await.is_ok(), answers, is_bad)
            };
            let Some((true, answers, is_bad)) = token.run_until_cancelled(asked).await else { return };
            round = round.wrapping_add(u32::from(answers));
            let is_settled = answers && (was_bad || !is_bad);
            was_bad = is_bad;
            let rest = if is_settled { EVERY.mul_f64(1.0 - fraction(&self.machine) / 4.0) } else { AGAIN };
            if token.run_until_cancelled(tokio::time::sleep(rest)).await.is_none() {
                return;
            }
        }
    }

    /// One look, and whether the API answered.
    async fn look(&self, role: &mut Option<MachineRole>) -> (Look, bool) {
        let mut found = Vec::new();
        let outcome = self.ask(role, &mut found).await;
        let answers = outcome.is_ok();
        found.push(Finding::of(&self.rules.unreachable, "api", outcome.err()));
        (Look { source: SOURCE, found, rest: if answers { Rest::Untouched } else { Rest::Unseen } }, answers)
    }

    async fn ask(&self, role: &mut Option<MachineRole>, found: &mut Vec<Finding>) -> Result<(), String> {
        let Some(machine) = self.get::<Machine>(&self.machine).await? else { return Ok(()) };
        self.plans.send_replace(Plans::of(&machine));
        if let Some(inventory) = self.get::<Inventory>(&self.machine).await?.and_then(|found| found.status) {
            found.extend(self.rules.hardware(&inventory));
        }
        if machine.spec.bmc.is_some()
            && let Some(reading) = self.get::<BmcReading>(&self.machine).await?.and_then(|found| found.status)
        {
            found.extend(self.rules.sensors(&reading));
        }
        let serves = machine.status.as_ref().is_some_and(|status| status.phase == Phase::Healthy);
        if !serves {
            found.push(Finding::new(&self.rules.drift, "sysctls", Sign::Unseen));
            return Ok(());
        }
        if role.as_ref().and_then(|role| role.metadata.name.as_ref()) != Some(&machine.spec.role) {
            *role = self.get::<MachineRole>(&machine.spec.role).await?;
        }
        found.extend(role.as_ref().map(|role| self.rules.settings(role, &self.roots)));
        Ok(())
    }

    async fn get<K>(&self, name: &str) -> Result<Option<K>, String>
    where
        K: kube::Resource<Scope = kube::core::ClusterResourceScope> + Clone + DeserializeOwned + Debug,
        K::DynamicType: Default,
    {
        get(&self.client, name).await
    }
}

/// What others do to a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plans {
    /// Planned maintenance.
    pub(crate) maintenance: Vec<Maintenance>,
    /// A run has it in hand, and may boot it anew.
    pub(crate) in_hand: bool,
}

impl Plans {
    fn of(machine: &Machine) -> Self {
        let in_hand = machine.status.as_ref().is_some_and(|status| !status.run.is_empty());
        Self { maintenance: machine.spec.maintenance.clone(), in_hand }
    }
}

/// What is planned for a machine; nothing as long as the API does not say so.
pub(crate) async fn plans(client: &Client, machine: &str) -> Plans {
    match get::<Machine>(client, machine).await {
        Ok(machine) => machine.as_ref().map(Plans::of).unwrap_or_default(),
        Err(error) => {
            tracing::debug!(error, "it is not known yet what is planned for this machine");
            Plans::default()
        }
    }
}

/// An object; none where there is none or this doctor may not see it. Both are answers.
async fn get<K>(client: &Client, name: &str) -> Result<Option<K>, String>
where
    K: kube::Resource<Scope = kube::core::ClusterResourceScope> + Clone + DeserializeOwned + Debug,
    K::DynamicType: Default,
{
    if name.is_empty() {
        return Ok(None);
    }
    let api = Api::<K>::all(client.clone());
    match tokio::time::timeout(ANSWER_WITHIN, api.get_opt(name)).await {
        Ok(Ok(there)) => Ok(there),
        Ok(Err(kube::Error::Api(status))) if status.code < 500 => Ok(None),
        Ok(Err(error)) => Err(explain(&error)),
        Err(_) => Err(format!("the API did not answer within {ANSWER_WITHIN:?}")),
    }
}

/// From 0 to 1, always the same of one name: machines that boot together do not ask together for long.
fn fraction(name: &str) -> f64 {
    let sum = name.bytes().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    f64::from(sum) / 255.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use muster_api::role::MachineRoleSpec;

    use super::super::tree::{Tree, bad};
    use super::*;

    fn shown(found: Vec<Finding>) -> Vec<String> {
        bad(&Look { source: SOURCE, found, rest: Rest::Unseen })
    }

    #[test]
    fn missing_hardware_and_another_firmware_are_told_apart() {
        let missing = ["firmware: \"2.1\", \"2.0\" found", "memory: 16 of 64 GiB, 48 found", "disk: 1 of 2"];
        let inventory =
            InventoryStatus { missing: missing.map(str::to_owned).into(), ..InventoryStatus::default() };
        let expected = [
            "hardware.missing : memory: 16 of 64 GiB, 48 found; disk: 1 of 2",
            "drift firmware: firmware: \"2.1\", \"2.0\" found",
        ];
        assert_eq!(shown(Rules::new().hardware(&inventory)), expected);
        assert_eq!(shown(Rules::new().hardware(&InventoryStatus::default())), [""; 0]);
    }

    #[test]
    fn sensors_are_told_by_the_controllers_own_verdict() {
        let sensor = |name: &str, value: f64, unit: &str, health: &str| Sensor {
            name: name.into(),
            value: Some(value),
            unit: unit.into(),
            health: health.into(),
        };
        let sensors = vec![
            sensor("CPU1", 97.0, "Cel", "Critical"),
            sensor("Inlet", 25.0, "Cel", "OK"),
            sensor("FAN 3", 0.0, "RPM", "cr"),
            sensor("PSU2", 0.0, "W", "Warning"),
            sensor("12V", 12.1, "V", "ok"),
            sensor("Mystery", 1.0, "furlong", "cr"),
        ];
        let reading = BmcReadingStatus { reachable: true, sensors, ..BmcReadingStatus::default() };
        let expected = [
            "temp.high CPU1: CPU1 at 97 Cel: Critical",
            "fan.failed FAN 3: FAN 3 at 0 RPM: cr",
            "power.failed PSU2: PSU2 at 0 W: Warning",
        ];
        assert_eq!(shown(Rules::new().sensors(&reading)), expected);
        let silent = BmcReadingStatus { reachable: false, ..reading };
        assert_eq!(Rules::new().sensors(&silent), [], "what a silent controller last said is old");
    }

    #[test]
    fn settings_that_are_not_as_the_role_says_are_drift() {
        let tree = Tree::new();
        tree.write("proc/sys/net/ipv4/ip_forward = 0\nproc/sys/net/ipv4/tcp_rmem = 4096\t87380   1\\n");
        let wanted = [("net.ipv4.ip_forward", "1"), ("net.ipv4.tcp_rmem", "4096 87380 1"), ("no.such", "1")];
        let sysctls: BTreeMap<String, String> =
            wanted.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let role = MachineRole::new("worker", MachineRoleSpec { sysctls, ..MachineRoleSpec::default() });
        let expected = ["drift sysctls: net.ipv4.ip_forward: \"1\", \"0\" found"];
        assert_eq!(shown(vec![Rules::new().settings(&role, &tree.roots())]), expected);
    }
}
