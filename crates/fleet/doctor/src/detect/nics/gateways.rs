//! Which neighbour answers for an interface: its default gateway, from the kernel's tables of routes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

use crate::kernel::{Roots, names, number};

/// Interfaces asked of at most; a machine with more is no host of ours.
const INTERFACES_MAX: usize = 16;
/// How deep bonds, bridges and VLANs lie on each other.
const LAYERS_MAX: u32 = 4;
/// `RTF_UP` and `RTF_GATEWAY` of `/proc/net/route`, and the same bits of `/proc/net/ipv6_route`.
const BY_GATEWAY: u32 = 3;

/// Who is asked over which interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Gateway {
    pub(super) interface: String,
    pub(super) address: SocketAddr,
}

/// The default gateway of each interface that leads to hardware. Where one has two, the one of the old protocol.
pub(super) fn gateways(roots: &Roots, virtual_devices: bool) -> Vec<Gateway> {
    let table = |name: &str| std::fs::read_to_string(roots.proc.join("net").join(name)).unwrap_or_default();
    let mut found: BTreeMap<String, IpAddr> = BTreeMap::new();
    let rows = routes_v4(&table("route")).into_iter().chain(routes_v6(&table("ipv6_route")));
    for (interface, address) in rows {
        found.entry(interface).or_insert(address);
    }
    let class = roots.sys.join("class/net");
    found.retain(|interface, _| virtual_devices || leads_to_hardware(&class, interface, LAYERS_MAX));
    let placed = |(interface, address): (String, IpAddr)| {
        let scope =
            number(&class.join(&interface).join("ifindex")).and_then(|index| u32::try_from(index).ok());
        let address = match address {
            IpAddr::V4(address) => SocketAddr::from((address, 0)),
            IpAddr::V6(address) => SocketAddrV6::new(address, 0, 0, scope.unwrap_or(0)).into(),
        };
        Gateway { interface, address }
    };
    found.into_iter().take(INTERFACES_MAX).map(placed).collect()
}

/// A card, or a bond, bridge or VLAN above one.
fn leads_to_hardware(class: &Path, interface: &str, layers: u32) -> bool {
    let dir = class.join(interface);
    if dir.join("device").symlink_metadata().is_ok() {
        return true;
    }
    let entries = names(&dir);
    let mut below = entries.iter().filter_map(|name| name.strip_prefix("lower_"));
    0 < layers && below.any(|lower| leads_to_hardware(class, lower, layers - 1))
}

/// `Iface Destination Gateway Flags …  Mask …`, addresses as the machine has them in memory.
fn routes_v4(table: &str) -> Vec<(String, IpAddr)> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [interface, destination, gateway, flags, _, _, _, mask, ..] = words[..] else { return None };
        let hex = |word: &str| u32::from_str_radix(word, 16).ok();
        let is_default = hex(destination)? == 0 && hex(mask)? == 0 && hex(flags)? & BY_GATEWAY == BY_GATEWAY;
        let address = Ipv4Addr::from(hex(gateway)?.to_ne_bytes());
        is_default.then(|| (interface.to_owned(), IpAddr::V4(address)))
    };
    table.lines().filter_map(row).collect()
}

/// `destination length source length gateway metric references uses flags interface`.
fn routes_v6(table: &str) -> Vec<(String, IpAddr)> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [destination, length, _, _, gateway, _, _, _, flags, interface] = words[..] else { return None };
        let hex = |word: &str| u128::from_str_radix(word, 16).ok();
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let is_default = hex(destination)? == 0 && length == "00" && flags & BY_GATEWAY == BY_GATEWAY;
        let address = Ipv6Addr::from(hex(gateway)?);
        is_default.then(|| (interface.to_owned(), IpAddr::V6(address)))
    };
    table.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::tree::Tree;
    use super::*;

    const V4: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\\n\
        bond0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\\n\
        bond0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\\n\
        veth1\t00000000\t0102000A\t0003\t0\t0\t9\t00000000\t0\t0\t0\\n";
    const V6: &str = "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000002 00000000 00000001 eth1\\n\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000003 00000000 00000003 eth1\\n\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000003 00000000 00000003 bond0\\n\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200 lo\\n";

    #[test]
    fn each_interface_above_hardware_is_asked_by_its_default_gateway() {
        let tree = Tree::new();
        tree.write(&format!("proc/net/route = {V4}\nproc/net/ipv6_route = {V6}"));
        tree.write("sys/class/net/bond0/lower_eth0/name = x\nsys/class/net/eth0/device/vendor = 1");
        tree.write("sys/class/net/eth1/device/vendor = 1\nsys/class/net/eth1/ifindex = 7");
        tree.write("sys/class/net/veth1/lower_veth2/name = x");
        let shown = |virtual_devices| {
            let found = gateways(&tree.roots(), virtual_devices);
            found.into_iter().map(|one| format!("{} {}", one.interface, one.address)).collect::<Vec<_>>()
        };
        let real = ["bond0 192.0.2.1:0", "eth1 [fe80::1%7]:0"];
        assert_eq!(shown(false), real);
        assert_eq!(shown(true), [&real[..], &["veth1 10.0.2.1:0"]].concat());
        assert_eq!(gateways(&Tree::new().roots(), true), []);
    }
}
