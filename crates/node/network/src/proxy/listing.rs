//! What the kernel holds, read back from `nft -j list table`.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde::Deserialize;
use serde_json::Value as Json;

use super::element::{Elements, Front, Key, NodePort, Value};
use super::ruleset::{bucket_of, way_of};
use crate::view::Protocol;

/// A listing that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    #[error("the listing of the nftables table is not the JSON that nft writes")]
    Parse(#[source] serde_json::Error),
    #[error("an element of {map} that Muster does not write: {element}")]
    Foreign { map: String, element: String },
}

#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(alias = "set")]
    map: Option<Map>,
}

#[derive(Deserialize)]
struct Map {
    name: String,
    #[serde(default)]
    elem: Vec<Json>,
}

/// The elements in a listing of the table.
pub fn parse(listing: &[u8]) -> Result<Elements, ListingError> {
    let listing: Listing = serde_json::from_slice(listing).map_err(ListingError::Parse)?;
    let mut elements = Elements::new();
    for map in listing.nftables.into_iter().filter_map(|item| item.map) {
        for elem in &map.elem {
            let foreign = || ListingError::Foreign { map: map.name.clone(), element: elem.to_string() };
            let (key, value) = element(&map.name, elem).ok_or_else(foreign)?;
            elements.insert(key, value);
        }
    }
    Ok(elements)
}

fn element(map: &str, elem: &Json) -> Option<(Key, Value)> {
    if map == "hairpins" {
        return Some((Key::Hairpin(ip(elem.get("concat")?.get(0)?)?), Value::Present));
    }
    let (key, value) = (elem.get(0)?.get("concat")?.as_array()?, elem.get(1)?);
    Some(match map {
        "fronts" => (Key::Front(front(key)?), way(value)?),
        "node_ports" => (Key::NodePort(node_port(key)?), way(value)?),
        "front_buckets" => {
            let (source, bucket) = bucket_of(number(key.get(3)?)?)?;
            (Key::FrontBucket(front(key)?, source, bucket), target(value)?)
        }
        "node_port_buckets" => {
            let (source, bucket) = bucket_of(number(key.get(2)?)?)?;
            (Key::NodePortBucket(node_port(key)?, source, bucket), target(value)?)
        }
        _ => return None,
    })
}

fn front(key: &[Json]) -> Option<Front> {
    let NodePort { protocol, port } = node_port(key.get(1..)?)?;
    Some(Front { address: ip(key.first()?)?, protocol, port })
}

fn node_port(key: &[Json]) -> Option<NodePort> {
    Some(NodePort { protocol: protocol(key.first()?)?, port: number(key.get(1)?)? })
}

/// By name, or by number (IANA) on a system without `/etc/protocols`.
fn protocol(json: &Json) -> Option<Protocol> {
    match (json.as_str(), json.as_u64()) {
        (Some(name), _) => Protocol::by_name(name),
        (None, Some(6)) => Some(Protocol::Tcp),
        (None, Some(17)) => Some(Protocol::Udp),
        (None, Some(132)) => Some(Protocol::Sctp),
        (None, _) => None,
    }
}

fn way(value: &Json) -> Option<Value> {
    way_of(value.get("goto")?.get("target")?.as_str()?).map(Value::Way)
}

fn target(value: &Json) -> Option<Value> {
    let target = value.get("concat")?.as_array()?;
    Some(Value::Target(SocketAddrV4::new(ip(target.first()?)?, number(target.get(1)?)?)))
}

fn ip(json: &Json) -> Option<Ipv4Addr> {
    json.as_str()?.parse().ok()
}

fn number<N: TryFrom<u64>>(json: &Json) -> Option<N> {
    N::try_from(json.as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(protocol: &str) -> String {
        let front = format!(
            r#"[{{"concat":["10.96.0.1",{protocol},443]}},{{"goto":{{"target":"front_any_kept_1"}}}}]"#
        );
        format!(r#"{{"nftables":[{{"map":{{"name":"fronts","elem":[{front}]}}}}]}}"#)
    }

    #[test]
    fn a_protocol_is_read_by_name_and_by_number_and_another_is_not_ours() {
        for (by_name, by_number) in [("tcp", "6"), ("udp", "17"), ("sctp", "132")] {
            let named = parse(listing(&format!("{by_name:?}")).as_bytes()).unwrap();
            assert_eq!(named.len(), 1);
            assert_eq!(parse(listing(by_number).as_bytes()).unwrap(), named);
        }
        for other in ["1", "\"icmp\"", "null"] {
            let error = parse(listing(other).as_bytes()).unwrap_err();
            assert!(matches!(error, ListingError::Foreign { .. }), "{error}");
        }
    }
}
