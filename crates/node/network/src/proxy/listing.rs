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
    let protocol = Protocol::by_name(key.first()?.as_str()?)?;
    Some(NodePort { protocol, port: number(key.get(1)?)? })
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
