//! Redfish, with the quirks of real controllers: an answer before the effect, other spellings, absent members, actions
//! that are named but not there.

mod http;
mod model;
mod tls;

use std::time::Duration;

use ::http::{Method, StatusCode};
use futures::future::{BoxFuture, join_all};
use muster_api::inventory::bmc::{Identity, LogRecord, Sensor};
use muster_api::order::{Answer, BootDevice, BootUntil, Led};
use serde_json::{Value, json};

use self::http::{Ask, Http, Lost, Reply};
use self::model::{allowed, at, complaint, link, member, members, spelled, text};
use crate::access::{Access, Transport};
use crate::address::Address;
use crate::bmc::{Bmc, Command, Power, Read, ReadError, Sent};

const ROOT: &str = "/redfish/v1";
/// Network cards that are asked for their address.
const CARDS_MAX: usize = 16;
/// A read that fails at once is tried again so often.
const READ_AGAIN: u32 = 1;

pub(crate) struct Redfish {
    http: Http,
    system: String,
}

/// How a command may be said; the next is tried where the controller knows none before.
fn reset_types(command: &Command) -> &'static [&'static str] {
    match command {
        Command::On => &["On", "ForceOn"],
        Command::Off => &["ForceOff"],
        Command::Soft => &["GracefulShutdown"],
        Command::Reset => &["ForceRestart", "PowerCycle"],
        Command::Boot(..) | Command::Insert(_) | Command::Eject | Command::Light(_) => &[],
    }
}

/// The controller does not know this; it did nothing.
fn is_unknown(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 404 | 405 | 501)
}

impl Redfish {
    pub(crate) fn new(address: Address, access: Access, timeout: Duration) -> Read<Self> {
        let tls = tls::config(&access).map_err(ReadError::Here)?;
        let system = address.system.clone();
        Ok(Self { http: Http::new(address, &access, tls, timeout), system })
    }

    async fn get(&self, path: &str) -> Read<Reply> {
        let mut again = READ_AGAIN;
        loop {
            let reply = self.http.request(&Ask::get(path)).await;
            let failed_at_once = match &reply {
                Ok(reply) => reply.status.is_server_error(),
                Err(lost) => matches!(lost, Lost::After(words) if !words.starts_with("no answer")),
            };
            if !failed_at_once || again == 0 {
                return usable(path, reply);
            }
            again -= 1;
        }
    }

    /// Whether a Redfish service answers here; it is not told who asks.
    pub(crate) async fn is_there(address: Address, transport: Transport, timeout: Duration) -> bool {
        let access = Access { transport, ..Access::default() };
        let Ok(service) = Self::new(address, access, timeout) else { return false };
        let root = service.http.request(&Ask::get(&format!("{ROOT}/"))).await;
        root.is_ok_and(|root| !text(&root.body, &["RedfishVersion"]).is_empty())
    }

    /// The paths of its systems.
    pub(crate) async fn systems(&self) -> Read<Vec<String>> {
        Ok(members(&self.get(&format!("{ROOT}/Systems")).await?.body))
    }

    /// The path of the system: as the address says, else the only one there is.
    async fn system_path(&self) -> Read<String> {
        if self.system.starts_with("redfish/") {
            return Ok(format!("/{}", self.system));
        }
        if !self.system.is_empty() {
            return Ok(format!("{ROOT}/Systems/{}", self.system));
        }
        match self.systems().await?.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(ReadError::Strange("it lists no system".to_owned())),
            many => Err(ReadError::Strange(format!(
                "it has {} systems: name one in spec.bmc.address",
                many.len()
            ))),
        }
    }

    async fn system(&self) -> Read<(String, Reply)> {
        let path = self.system_path().await?;
        let reply = self.get(&path).await?;
        Ok((path, reply))
    }

    async fn manager(&self, system: &Value) -> Read<Value> {
        let path = match link(system, &["Links", "ManagedBy", "0"]) {
            Some(path) => path,
            None => {
                let managers = self.get(&format!("{ROOT}/Managers")).await?;
                let first = members(&managers.body).into_iter().next();
                first.ok_or_else(|| ReadError::Absent("it lists no manager".to_owned()))?
            }
        };
        Ok(self.get(&path).await?.body)
    }

    async fn tell(&self, command: &Command) -> Sent {
        let (path, system) = match self.system().await {
            Ok(system) => system,
            Err(error) => return not_sent(&error),
        };
        match command {
            Command::On | Command::Off | Command::Soft | Command::Reset => {
                self.reset(&path, &system.body, reset_types(command)).await
            }
            Command::Boot(device, until) => self.boot(&path, &system, *device, *until).await,
            Command::Light(led) => self.light(&path, &system, *led).await,
            Command::Insert(url) => self.media(&system.body, Some(url)).await,
            Command::Eject => self.media(&system.body, None).await,
        }
    }

    async fn reset(&self, path: &str, system: &Value, types: &[&str]) -> Sent {
        let action = at(system, &["Actions", "#ComputerSystem.Reset"]).cloned().unwrap_or_default();
        let known = allowed(&action, &["ResetType@Redfish.AllowableValues"]);
        let target = match text(&action, &["target"]) {
            target if target.starts_with('/') => target,
            _ => format!("{path}/Actions/ComputerSystem.Reset"),
        };
        let mut says: Vec<String> = types.iter().filter_map(|one| spelled(one, &known)).collect();
        if says.is_empty() {
            says = types.iter().map(|one| (*one).to_owned()).collect();
        }
        let mut last = Sent::new(Answer::Refused, "no way to say it");
        for say in says {
            let reply = self.post(&target, &json!({"ResetType": say})).await;
            let unknown = matches!(&reply, Ok(reply) if is_unknown(reply.status));
            last = sent(&format!("ResetType {say}"), reply);
            if !unknown {
                break;
            }
        }
        last
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Reply, Lost> {
        self.http.request(&Ask { method: Method::POST, path, body: Some(body), if_match: None }).await
    }

    async fn patch(&self, path: &str, body: &Value, etag: Option<&str>) -> Result<Reply, Lost> {
        self.http.request(&Ask { method: Method::PATCH, path, body: Some(body), if_match: etag }).await
    }

    async fn boot(&self, path: &str, system: &Reply, device: BootDevice, until: BootUntil) -> Sent {
        let wanted = match device {
            BootDevice::Pxe => "Pxe",
            BootDevice::Disk => "Hdd",
            BootDevice::Cdrom => "Cd",
            BootDevice::Bios => "BiosSetup",
        };
        let known = allowed(&system.body, &["Boot", "BootSourceOverrideTarget@Redfish.AllowableValues"]);
        let Some(target) = spelled(wanted, &known) else {
            return Sent::new(
                Answer::Refused,
                format!("it boots from {} only, not from {wanted}", known.join(", ")),
            );
        };
        let enabled = match until {
            BootUntil::NextBoot => "Once",
            BootUntil::Changed => "Continuous",
        };
        let body =
            json!({"Boot": {"BootSourceOverrideTarget": target, "BootSourceOverrideEnabled": enabled}});
        sent(&format!("boot from {target}, {enabled}"), self.patch(path, &body, system.etag.as_deref()).await)
    }

    async fn light(&self, path: &str, system: &Reply, led: Led) -> Sent {
        let body = match (member(&system.body, "LocationIndicatorActive"), led) {
            (Some(_), led) => json!({"LocationIndicatorActive": led == Led::On}),
            (None, Led::On) => json!({"IndicatorLED": "Lit"}),
            (None, Led::Off) => json!({"IndicatorLED": "Off"}),
        };
        sent(&format!("lamp {led:?}"), self.patch(path, &body, system.etag.as_deref()).await)
    }

    /// Inserts what `url` names, or empties the drive. What is so already is left alone.
    async fn media(&self, system: &Value, url: Option<&str>) -> Sent {
        let (path, drive) = match self.drive(system).await {
            Ok(drive) => drive,
            Err(ReadError::Absent(what)) => return Sent::new(Answer::Refused, what),
            Err(error) => return not_sent(&error),
        };
        let inserted = member(&drive.body, "Inserted").and_then(Value::as_bool).unwrap_or(false);
        let image = text(&drive.body, &["Image"]);
        let (action, body) = match url {
            Some(url) if inserted && image == url => {
                return Sent::new(Answer::Acknowledged, "it was in the drive already");
            }
            None if !inserted => return Sent::new(Answer::Acknowledged, "the drive was empty already"),
            Some(url) => ("InsertMedia", json!({"Image": url, "Inserted": true, "WriteProtected": true})),
            None => ("EjectMedia", json!({})),
        };
        let target = text(&drive.body, &["Actions", &format!("#VirtualMedia.{action}"), "target"]);
        let reply = if target.starts_with('/') {
            self.post(&target, &body).await
        } else {
            let body = url.map_or_else(|| json!({"Image": null, "Inserted": false}), |_| body);
            self.patch(&path, &body, drive.etag.as_deref()).await
        };
        sent(action, reply)
    }

    /// The virtual drive that takes discs.
    async fn drive(&self, system: &Value) -> Read<(String, Reply)> {
        let collection = match link(system, &["VirtualMedia"]) {
            Some(path) => path,
            None => {
                let manager = self.manager(system).await?;
                link(&manager, &["VirtualMedia"])
                    .ok_or_else(|| ReadError::Absent("it has no virtual media".to_owned()))?
            }
        };
        for path in members(&self.get(&collection).await?.body) {
            let drive = self.get(&path).await?;
            let types = allowed(&drive.body, &["MediaTypes"]);
            if types.is_empty()
                || types.iter().any(|one| one.eq_ignore_ascii_case("CD") || one.eq_ignore_ascii_case("DVD"))
            {
                return Ok((path, drive));
            }
        }
        Err(ReadError::Absent("none of its virtual drives takes a disc".to_owned()))
    }

    async fn cards(&self, system: &Value) -> Vec<String> {
        let Some(path) = link(system, &["EthernetInterfaces"]) else { return Vec::new() };
        let Ok(cards) = self.get(&path).await else { return Vec::new() };
        let paths: Vec<String> = members(&cards.body).into_iter().take(CARDS_MAX).collect();
        let cards = join_all(paths.iter().map(|path| self.get(path))).await;
        let mac = |card: &Reply| text(&card.body, &["MACAddress"]).to_lowercase();
        cards.iter().flatten().map(mac).filter(|mac| !mac.is_empty()).collect()
    }

    async fn log(&self, system: &Value) -> Read<Option<String>> {
        let services = match link(system, &["LogServices"]) {
            Some(path) => path,
            None => match link(&self.manager(system).await?, &["LogServices"]) {
                Some(path) => path,
                None => return Ok(None),
            },
        };
        let logs = members(&self.get(&services).await?.body);
        let is_of_hardware = |path: &&String| {
            let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_lowercase();
            name.contains("sel") || name.contains("event")
        };
        let Some(log) = logs.iter().find(is_of_hardware).or_else(|| logs.first()) else { return Ok(None) };
        Ok(link(&self.get(log).await?.body, &["Entries"]))
    }
}

fn not_sent(error: &ReadError) -> Sent {
    Sent::new(Answer::NotSent, error.to_string())
}

fn usable(path: &str, reply: Result<Reply, Lost>) -> Read<Reply> {
    let reply = reply.map_err(|lost| ReadError::Silent(lost.words()))?;
    let told = || format!("{path}: {} {}", reply.status.as_u16(), complaint(&reply.body));
    match reply.status.as_u16() {
        200..=299 if reply.body.is_object() => Ok(reply),
        401 | 403 => Err(ReadError::Denied(told())),
        404 | 405 | 501 => Err(ReadError::Absent(told())),
        500..=599 => Err(ReadError::Silent(told())),
        _ => Err(ReadError::Strange(told())),
    }
}

fn sent(what: &str, reply: Result<Reply, Lost>) -> Sent {
    match reply {
        Err(Lost::Before(words)) => Sent::new(Answer::NotSent, words),
        Err(Lost::After(words)) => Sent::new(Answer::Silence, words),
        Ok(reply) => {
            let told = format!("{what}: {} {}", reply.status.as_u16(), complaint(&reply.body));
            let answer = match reply.status.as_u16() {
                200..=299 => Answer::Acknowledged,
                // An error inside the controller or before it says nothing about the effect; 501 is an answer.
                500 | 502..=599 => Answer::Silence,
                _ => Answer::Refused,
            };
            Sent::new(answer, told.trim_end())
        }
    }
}

fn power(system: &Value) -> Read<Power> {
    match text(system, &["PowerState"]).to_ascii_lowercase().as_str() {
        "on" => Ok(Power::On),
        "off" => Ok(Power::Off),
        "poweringon" | "poweringoff" | "paused" => Ok(Power::Changing),
        "" => Err(ReadError::Strange("the system has no PowerState".to_owned())),
        other => Err(ReadError::Strange(format!("PowerState {other:?}"))),
    }
}

impl Bmc for Redfish {
    fn power(&self) -> BoxFuture<'_, Read<Power>> {
        Box::pin(async { power(&self.system().await?.1.body) })
    }

    fn send<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Sent> {
        Box::pin(self.tell(command))
    }

    fn identity(&self) -> BoxFuture<'_, Read<Identity>> {
        Box::pin(async {
            let system = self.system().await?.1.body;
            let manager = self.manager(&system).await.unwrap_or_default();
            Ok(Identity {
                manufacturer: text(&system, &["Manufacturer"]),
                model: text(&system, &["Model"]),
                serial: text(&system, &["SerialNumber"]),
                firmware: text(&manager, &["FirmwareVersion"]),
                macs: self.cards(&system).await,
            })
        })
    }

    fn sensors(&self) -> BoxFuture<'_, Read<Vec<Sensor>>> {
        Box::pin(async {
            let system = self.system().await?.1.body;
            let Some(chassis) = link(&system, &["Links", "Chassis", "0"]) else { return Ok(Vec::new()) };
            let chassis = self.get(&chassis).await?.body;
            let mut found = [Value::Null, Value::Null];
            for (slot, name) in found.iter_mut().zip(["Thermal", "Power"]) {
                if let Some(path) = link(&chassis, &[name]) {
                    *slot = self.get(&path).await?.body;
                }
            }
            Ok(model::sensors(&found[0], &found[1]))
        })
    }

    fn events(&self) -> BoxFuture<'_, Read<Vec<LogRecord>>> {
        Box::pin(async {
            let system = self.system().await?.1.body;
            let Some(path) = self.log(&system).await? else { return Ok(Vec::new()) };
            Ok(model::events(&self.get(&path).await?.body))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_state_in_any_case_and_none_is_said() {
        assert_eq!(power(&json!({"powerState": "ON"})), Ok(Power::On));
        assert_eq!(power(&json!({"PowerState": "PoweringOff"})), Ok(Power::Changing));
        assert_eq!(
            power(&json!({"PowerState": null})),
            Err(ReadError::Strange("the system has no PowerState".into()))
        );
    }

    #[test]
    fn what_an_answer_says_of_the_effect() {
        let reply = |status: u16| {
            Ok(Reply { status: StatusCode::from_u16(status).unwrap(), etag: None, body: Value::Null })
        };
        for (status, expected) in [
            (204, Answer::Acknowledged),
            (401, Answer::Refused),
            (409, Answer::Refused),
            (501, Answer::Refused),
            (500, Answer::Silence),
            (503, Answer::Silence),
        ] {
            assert_eq!(sent("x", reply(status)).answer, expected, "{status}");
        }
        assert_eq!(sent("x", Err(Lost::Before("refused".into()))).answer, Answer::NotSent);
        assert_eq!(sent("x", Err(Lost::After("reset".into()))).answer, Answer::Silence);
    }
}
