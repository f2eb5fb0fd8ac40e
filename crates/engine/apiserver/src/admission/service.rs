//! Services: cluster addresses and node ports.

use std::net::Ipv4Addr;
use std::sync::Arc;

use muster_schema::FieldError;
use muster_store::Key;
use serde_json::{Value, json};

use super::{Addresses, Hold};
use crate::rest::Target;
use crate::server::{ApiServer, Config};
use crate::status::Refusal;

/// The first addresses of the range are for those who ask for one by number (KEP-3070).
const STATIC_BAND_MAX: u32 = 256;
const HEADLESS: &str = "None";

pub(super) async fn create(server: &ApiServer, target: &Target, value: &mut Value) -> Result<Hold, Refusal> {
    let hold = Arc::clone(&server.inner().allocation).lock_owned().await;
    complete(server, target, value)?;
    Ok(hold)
}

pub(super) async fn update(
    server: &ApiServer,
    target: &Target,
    old: &Value,
    new: &mut Value,
) -> Result<Hold, Refusal> {
    let hold = Arc::clone(&server.inner().allocation).lock_owned().await;
    let external = |value: &Value| value["spec"]["type"] == "ExternalName";
    if !external(new) && !external(old) {
        keep_address(target, old, new)?;
    }
    keep_ports(old, new);
    complete(server, target, new)?;
    Ok(hold)
}

fn name(value: &Value) -> &str {
    value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("")
}

fn keep_address(target: &Target, old: &Value, new: &mut Value) -> Result<(), Refusal> {
    let address = |value: &Value| value["spec"]["clusterIP"].as_str().unwrap_or("").to_owned();
    let (before, asked) = (address(old), address(new));
    if asked.is_empty() {
        new["spec"]["clusterIP"] = json!(before);
        new["spec"]["clusterIPs"] = old["spec"]["clusterIPs"].clone();
    } else if asked != before && !before.is_empty() {
        let error = FieldError::invalid("spec.clusterIPs[0]", json!([asked]), "may not change once set");
        return Err(Refusal::invalid(target.served.about_kind(), name(new), &[error]));
    }
    Ok(())
}

/// A port that stays keeps its node port.
fn keep_ports(old: &Value, new: &mut Value) {
    let before = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let exposed = is_exposed(new);
    for port in new["spec"].get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let same =
            before.iter().find(|old| old["port"] == port["port"] && old["protocol"] == port["protocol"]);
        let held = same.and_then(|old| old.get("nodePort")).cloned();
        let own = port["nodePort"].as_u64().unwrap_or(0);
        match held {
            Some(held) if exposed && own == 0 => port["nodePort"] = held,
            Some(held) if !exposed && held.as_u64() == Some(own) => {
                if let Some(port) = port.as_object_mut() {
                    port.remove("nodePort");
                }
            }
            Some(_) | None => {}
        }
    }
}

fn is_exposed(value: &Value) -> bool {
    ["NodePort", "LoadBalancer"].contains(&value["spec"]["type"].as_str().unwrap_or(""))
}

fn complete(server: &ApiServer, target: &Target, value: &mut Value) -> Result<(), Refusal> {
    let held = server.inner().addresses.current();
    let me = target.key_of(name(value));
    let config = &server.inner().config;
    let refuse = |value: &Value, error: FieldError| {
        Err(Refusal::invalid(target.served.about_kind(), name(value), &[error]))
    };
    if let Some(spec) = value["spec"]
        .as_object_mut()
        .filter(|spec| spec.get("type").and_then(Value::as_str) == Some("ExternalName"))
    {
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            spec.remove(key);
        }
        return Ok(());
    }
    let address = match address(config, &held, &me, value) {
        Ok(address) => address,
        Err(error) => return refuse(value, *error),
    };
    let spec = &mut value["spec"];
    spec["clusterIP"] = json!(address);
    spec["clusterIPs"] = json!([address]);
    spec["ipFamilies"] = json!(["IPv4"]);
    spec["ipFamilyPolicy"] = json!("SingleStack");
    if spec["internalTrafficPolicy"].is_null() {
        spec["internalTrafficPolicy"] = json!("Cluster");
    }
    if is_exposed(value)
        && let Err(error) = ports(config, &held, &me, value)
    {
        return refuse(value, *error);
    }
    Ok(())
}

fn address(config: &Config, held: &Addresses, me: &Key, value: &Value) -> Result<String, Box<FieldError>> {
    let asked = value["spec"]["clusterIP"].as_str().unwrap_or("");
    let network = u32::from(config.service_network);
    let size = 1_u32 << (32 - u32::from(config.service_prefix));
    if asked == HEADLESS {
        return Ok(HEADLESS.to_owned());
    }
    if !asked.is_empty() {
        let wrong = |why: &str| {
            let text = format!("failed to allocate IP {asked}: {why}");
            Box::new(FieldError::invalid("spec.clusterIPs", json!([asked]), text))
        };
        let Ok(address) = asked.parse::<Ipv4Addr>() else {
            return Err(wrong("only IPv4 addresses are handed out"));
        };
        let offset = u32::from(address).wrapping_sub(network);
        if offset == 0 || offset >= size - 1 {
            let range = format!("{}/{}", config.service_network, config.service_prefix);
            return Err(wrong(&format!(
                "the provided IP ({address}) is not in the valid range. The range of valid IPs is {range}"
            )));
        }
        if !held.is_free(address, me) {
            return Err(wrong("provided IP is already allocated"));
        }
        return Ok(asked.to_owned());
    }
    let band = STATIC_BAND_MAX.min(size / 4).max(1);
    let start = spread(value) % (size - 1 - band);
    let candidates =
        (0..size - 1 - band).map(|step| band + (start + step) % (size - 1 - band)).chain(1..band);
    candidates
        .map(|offset| Ipv4Addr::from(network + offset))
        .find(|address| held.is_free(*address, me))
        .map(|address| address.to_string())
        .ok_or_else(|| {
            let text = "failed to allocate a cluster IP: range is full".to_owned();
            Box::new(FieldError::invalid("spec.clusterIPs", json!([]), text))
        })
}

/// Where to begin to look: by the object's uid, so that an address is not soon handed to another Service.
fn spread(value: &Value) -> u32 {
    let uid = value.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or("");
    u32::from_str_radix(uid.get(..8).unwrap_or("0"), 16).unwrap_or(0)
}

fn ports(config: &Config, held: &Addresses, me: &Key, value: &mut Value) -> Result<(), Box<FieldError>> {
    let start = spread(value);
    let mut taken: Vec<(u16, String)> = Vec::new();
    for (index, port) in
        value["spec"].get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten().enumerate()
    {
        let protocol = port["protocol"].as_str().unwrap_or("TCP").to_owned();
        let path = format!("spec.ports[{index}].nodePort");
        let asked = port["nodePort"].as_u64().unwrap_or(0);
        let free = |number: u16| {
            held.is_port_free(number, &protocol, me) && !taken.contains(&(number, protocol.clone()))
        };
        let number = if asked == 0 {
            let (low, high) = (u32::from(*config.node_ports.start()), u32::from(*config.node_ports.end()));
            let size = high - low + 1;
            let numbers = (0..size).map(|step| low + (start + step) % size);
            let found = numbers.filter_map(|number| u16::try_from(number).ok()).find(|one| free(*one));
            found.ok_or_else(|| {
                Box::new(FieldError::invalid(path, json!(0), "failed to allocate a nodePort: range is full"))
            })?
        } else {
            let number = u16::try_from(asked).ok().filter(|number| config.node_ports.contains(number));
            let Some(number) = number else {
                let range = format!("{}-{}", config.node_ports.start(), config.node_ports.end());
                let text =
                    format!("provided port is not in the valid range. The range of valid ports is {range}");
                return Err(Box::new(FieldError::invalid(path, json!(asked), text)));
            };
            if !free(number) {
                let text = "provided port is already allocated";
                return Err(Box::new(FieldError::invalid(path, json!(asked), text)));
            }
            number
        };
        taken.push((number, protocol));
        port["nodePort"] = json!(number);
    }
    Ok(())
}
