//! Invented machines: 84 sites, records of 600 bytes, and inventories of 2 KB.

use serde_json::{Value, json};

const SITES: u64 = 84;
const RACK: u64 = 40;

pub(crate) fn name(n: u64) -> String {
    format!("machine-{n:07}")
}

pub(crate) fn machine(n: u64) -> Value {
    let site = n % SITES;
    json!({
        "apiVersion": "muster.dev/v1alpha1", "kind": "Machine",
        "metadata": {"name": name(n), "labels": {
            "muster.dev/owner": "platform", "example.com/model": format!("model-{}", n % 7),
            "example.com/purchase": format!("order-{}", n / 500), "example.com/asset": format!("A{:08}", mixed(n) % 100_000_000),
        }},
        "spec": {
            "site": format!("site-{site:02}"), "rack": format!("site-{site:02}-rack-{:04}", n / SITES / RACK),
            "serial": format!("SN{:012}", mixed(n) % 1_000_000_000_000), "role": (["worker", "storage", "database"][(n % 3) as usize]),
            "profile": format!("profile-{}", n % 12),
            "bmc": {
                "address": format!("redfish://10.{}.{}.{}/redfish/v1/Systems/1", n >> 16 & 255, n >> 8 & 255, n & 255),
                "secretRef": format!("bmc-site-{site:02}"),
            },
        },
    })
}

pub(crate) fn inventory(n: u64) -> Value {
    let disk = |at: u64| {
        json!({
            "name": format!("nvme{at}n1"), "sizeBytes": 7_681_501_126_656_u64, "rotational": false,
            "model": (["Dapustor DPRD3108T0T107T6000", "SOLIDIGM SSDPF2KX076T1"][(n % 2) as usize]),
            "serial": format!("PH{:016X}", mixed(n << 8 | at)),
        })
    };
    let nic = |at: u64| {
        let number = mixed(n << 8 | at | 128).to_le_bytes();
        let pairs: Vec<String> = number[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        json!({"name": format!("enp1s0f{at}np{at}"), "mac": pairs.join(":"), "speedMbps": 50_000, "driver": "nfp"})
    };
    let boot = mixed(n << 8 | 255);
    json!({
        "apiVersion": "muster.dev/v1alpha1", "kind": "Inventory", "metadata": {"name": name(n)}, "spec": {},
        "status": {
            "observedAt": format!("2026-11-28T{:02}:{:02}:{:02}Z", boot % 24, boot % 60, boot / 60 % 60),
            "bootID": format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}", boot >> 32, boot >> 16 & 0xffff, boot & 0xfff, n & 0xfff, mixed(boot) >> 16),
            "kernel": format!("5.15.0-{}-lowlatency", 100 + n % 20), "memoryGiB": 512 << (n % 2),
            "serial": format!("7C{:08X}", mixed(n) >> 32), "model": "Inspur NF5280M6", "firmware": format!("4.{}.{}", n % 30, n % 7),
            "cpu": {"model": "Hygon C86 7390 32-core Processor", "sockets": 2, "cores": 64, "threads": 128},
            "disks": (0..11).map(disk).collect::<Vec<_>>(), "nics": (0..4).map(nic).collect::<Vec<_>>(),
        },
    })
}

/// SplitMix64: a number that looks like chance.
pub(crate) fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
