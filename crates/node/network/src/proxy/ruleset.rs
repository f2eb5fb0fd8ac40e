//! The words `nft -f -` reads.

use std::fmt::Write;

use ipnet::Ipv4Net;

use super::element::{Change, Elements, Front, Key, NodePort, Source, Value, Way};
use crate::config::Config;
use crate::view::Affinity;

#[cfg(test)]
mod tests;

/// The one table, family `ip`.
pub const TABLE: &str = "muster";

/// Marks are `base + bucket`. The bases leave alone the bits that others use (kube-proxy 0x4000 and 0x8000, the portmap
/// plugin 0x2000), and a packet that is for no Service keeps its mark.
const MARK_KEPT: u32 = 0x4d55_0000;
const MARK_MASQUERADED: u32 = 0x4d56_0000;
const MARK_BASE_MASK: u32 = 0xffff_0000;
const HASH_SEED: u32 = 0x6d75_7374;

/// What the fixed part of the table depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub bridge: String,
    pub pod_cidr: Ipv4Net,
    pub cluster_cidr: Ipv4Net,
    pub service_cidr: Ipv4Net,
}

impl Frame {
    pub fn of(config: &Config) -> Self {
        Self {
            bridge: config.bridge.clone(),
            pod_cidr: config.pod_cidr,
            cluster_cidr: config.cluster_cidr,
            service_cidr: config.service_cidr,
        }
    }
}

/// One transaction that puts the whole table in the place of whatever was there.
pub fn full(frame: &Frame, elements: &Elements) -> String {
    let mut text = format!("add table ip {TABLE}\ndelete table ip {TABLE}\n");
    writeln!(text, "table ip {TABLE} {{").expect(INFALLIBLE);
    text.push_str(MAPS);
    ways(&mut text);
    hooks(&mut text, frame);
    text.push_str("}\n");
    statements(&mut text, "add", elements, Form::KeyAndValue);
    text
}

/// One transaction with the elements that change.
pub fn incremental(change: &Change) -> String {
    let mut text = String::new();
    statements(&mut text, "delete", &change.delete, Form::KeyOnly);
    statements(&mut text, "add", &change.add, Form::KeyAndValue);
    text
}

/// One transaction after which the table is gone, whether it was there or not.
pub fn removal() -> String {
    format!("add table ip {TABLE}\ndelete table ip {TABLE}\n")
}

const INFALLIBLE: &str = "writing to a String cannot fail";

const MAPS: &str = "\
  map fronts { type ipv4_addr . inet_proto . inet_service : verdict; }
  map front_buckets { type ipv4_addr . inet_proto . inet_service . mark : ipv4_addr . inet_service; }
  map node_ports { type inet_proto . inet_service : verdict; }
  map node_port_buckets { type inet_proto . inet_service . mark : ipv4_addr . inet_service; }
  set hairpins { type ipv4_addr . ipv4_addr; }
  chain to_front { meta l4proto { tcp, udp, sctp } \
dnat ip to ip daddr . meta l4proto . th dport . meta mark map @front_buckets; }
  chain to_node_port { meta l4proto { tcp, udp, sctp } \
dnat ip to meta l4proto . th dport . meta mark map @node_port_buckets; }
";

fn ways(text: &mut String) {
    for way in Way::all() {
        let (count, base) = (way.buckets.count(), mark(way.source, 0));
        let pick = match way.affinity {
            _ if count == 1 => format!("{base:#x}"),
            Affinity::None => format!("numgen random mod {count} offset {base:#x}"),
            Affinity::ClientIP => format!("jhash ip saddr mod {count} seed {HASH_SEED:#x} offset {base:#x}"),
        };
        for (prefix, next) in [(FRONT, "to_front"), (NODE_PORT, "to_node_port")] {
            let name = chain(prefix, way);
            writeln!(text, "  chain {name} {{ meta mark set {pick}; goto {next}; }}").expect(INFALLIBLE);
        }
    }
}

fn hooks(text: &mut String, frame: &Frame) {
    let Frame { bridge, pod_cidr, cluster_cidr, service_cidr } = frame;
    write!(
        text,
        "\
  chain dispatch {{
    meta l4proto {{ tcp, udp, sctp }} ip daddr . meta l4proto . th dport vmap @fronts
    ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap @node_ports
  }}
  chain refuse {{
    fib daddr type local return
    meta l4proto tcp reject with tcp reset
    reject with icmp type port-unreachable
  }}
  chain prerouting {{ type nat hook prerouting priority dstnat; jump dispatch; }}
  chain output {{ type nat hook output priority -100; jump dispatch; }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr . ip daddr @hairpins ct status dnat masquerade
    meta mark and {MARK_BASE_MASK:#x} == {MARK_MASQUERADED:#x} masquerade
    ip saddr {pod_cidr} ip daddr != {cluster_cidr} oifname != \"{bridge}\" masquerade
  }}
  chain refuse_forwarded {{ type filter hook forward priority filter; ip daddr {service_cidr} goto refuse; }}
  chain refuse_own {{ type filter hook output priority filter; ip daddr {service_cidr} goto refuse; }}
"
    )
    .expect(INFALLIBLE);
}

#[derive(Clone, Copy)]
enum Form {
    KeyOnly,
    KeyAndValue,
}

/// One statement per map: `nft` pays per statement, not per element.
fn statements(text: &mut String, verb: &str, elements: &Elements, form: Form) {
    let mut open: Option<&str> = None;
    for (key, value) in elements {
        let map = map_of(key);
        if open != Some(map) {
            text.push_str(if open.is_some() { " }\n" } else { "" });
            write!(text, "{verb} element ip {TABLE} {map} {{ ").expect(INFALLIBLE);
            open = Some(map);
        } else {
            text.push_str(", ");
        }
        write_key(text, key);
        match (form, value) {
            (Form::KeyOnly, _) | (Form::KeyAndValue, Value::Present) => {}
            (Form::KeyAndValue, Value::Way(way)) => {
                write!(text, " : goto {}", chain(prefix_of(key), *way)).expect(INFALLIBLE);
            }
            (Form::KeyAndValue, Value::Target(target)) => {
                write!(text, " : {} . {}", target.ip(), target.port()).expect(INFALLIBLE);
            }
        }
    }
    text.push_str(if open.is_some() { " }\n" } else { "" });
}

fn map_of(key: &Key) -> &'static str {
    match key {
        Key::Front(_) => "fronts",
        Key::FrontBucket(..) => "front_buckets",
        Key::NodePort(_) => "node_ports",
        Key::NodePortBucket(..) => "node_port_buckets",
        Key::Hairpin(_) => "hairpins",
    }
}

fn write_key(text: &mut String, key: &Key) {
    let written = match key {
        Key::Front(front) => write!(text, "{}", front_key(*front)),
        Key::FrontBucket(front, source, bucket) => {
            write!(text, "{} . {:#x}", front_key(*front), mark(*source, *bucket))
        }
        Key::NodePort(port) => write!(text, "{}", port_key(*port)),
        Key::NodePortBucket(port, source, bucket) => {
            write!(text, "{} . {:#x}", port_key(*port), mark(*source, *bucket))
        }
        Key::Hairpin(address) => write!(text, "{address} . {address}"),
    };
    written.expect(INFALLIBLE);
}

fn front_key(front: Front) -> String {
    format!("{} . {} . {}", front.address, front.protocol.name(), front.port)
}

fn port_key(port: NodePort) -> String {
    format!("{} . {}", port.protocol.name(), port.port)
}

const FRONT: &str = "front";
const NODE_PORT: &str = "node_port";

fn prefix_of(key: &Key) -> &'static str {
    match key {
        Key::Front(_) | Key::FrontBucket(..) | Key::Hairpin(_) => FRONT,
        Key::NodePort(_) | Key::NodePortBucket(..) => NODE_PORT,
    }
}

/// The name of the chain for `way`; [`way_of`] reads it back.
fn chain(prefix: &str, way: Way) -> String {
    let affinity = match way.affinity {
        Affinity::None => "any",
        Affinity::ClientIP => "sticky",
    };
    let source = match way.source {
        Source::Kept => "kept",
        Source::Masqueraded => "masq",
    };
    format!("{prefix}_{affinity}_{source}_{}", way.buckets.count())
}

/// The way a chain's name stands for.
pub(super) fn way_of(name: &str) -> Option<Way> {
    Way::all().find(|way| chain(FRONT, *way) == name || chain(NODE_PORT, *way) == name)
}

pub(super) fn mark(source: Source, bucket: u16) -> u32 {
    let base = match source {
        Source::Kept => MARK_KEPT,
        Source::Masqueraded => MARK_MASQUERADED,
    };
    base + u32::from(bucket)
}

/// The source and bucket a mark stands for.
pub(super) fn bucket_of(mark: u32) -> Option<(Source, u16)> {
    let source = match mark & MARK_BASE_MASK {
        MARK_KEPT => Source::Kept,
        MARK_MASQUERADED => Source::Masqueraded,
        _ => return None,
    };
    Some((source, u16::try_from(mark & !MARK_BASE_MASK).ok()?))
}
