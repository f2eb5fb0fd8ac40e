//! Makes the dictionary that machines and inventories are packed with, from invented ones:
//! `cargo run --release --example dictionary -- FILE`. A dictionary that was once shipped is never made again.

use std::error::Error;
use std::fmt::Write as _;

use muster_apiserver::Object;
use serde_json::{Value, json};

const SAMPLES: u64 = 6000;
const DICTIONARY_BYTES: usize = 16 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("usage: dictionary FILE")?;
    let mut samples = Vec::new();
    for n in 0..SAMPLES {
        let mut dice = Dice(n + 1);
        samples.push(tail(&machine(n, &mut dice))?);
        samples.push(tail(&inventory(n, &mut dice))?);
    }
    std::fs::write(file, zstd::dict::from_samples(&samples, DICTIONARY_BYTES)?)?;
    Ok(())
}

/// The document as it stands behind its stamp and revision.
fn tail(document: &Value) -> Result<Vec<u8>, Box<dyn Error>> {
    let object = Object::build(document, &[])?;
    let mut bytes = Vec::new();
    object.write("", 0, &mut bytes);
    Ok(bytes.split_off(1))
}

struct Dice(u64);

impl Dice {
    /// SplitMix64.
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, count: u64) -> u64 {
        self.roll() % count
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(
            (u128::from(self.roll()) << 64 | u128::from(self.roll())).to_le_bytes(),
        )
        .into_uuid()
        .to_string()
    }

    fn time(&mut self) -> String {
        let (day, second) = (self.below(365), self.below(86400));
        format!(
            "202{}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            6 + self.below(4),
            1 + day / 31,
            1 + day % 28,
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }

    fn serial(&mut self, letters: usize) -> String {
        (0..letters).map(|_| char::from(self.one(b"0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"))).collect()
    }

    fn mac(&mut self) -> String {
        let mut text = String::new();
        for at in 0..6 {
            let colon = if at == 0 { "" } else { ":" };
            write!(text, "{colon}{:02x}", self.below(256)).expect("a text takes it");
        }
        text
    }
}

fn metadata(n: u64, dice: &mut Dice) -> Value {
    json!({
        "name": format!("{}{n}", dice.one(&["m", "node-", "host", "srv-", "r12-u"])), "uid": dice.uuid(),
        "creationTimestamp": dice.time(), "generation": 1 + dice.below(4),
    })
}

fn machine(n: u64, dice: &mut Dice) -> Value {
    let site = format!("{}{}", dice.one(&["fra", "ams", "site-", "dc", "iad"]), dice.below(90));
    let address = format!("10.{}.{}.{}", dice.below(256), dice.below(256), dice.below(256));
    let address = match dice.below(3) {
        0 => format!("ipmi://{address}"),
        1 => format!("redfish://{address}/redfish/v1/Systems/System.Embedded.1"),
        _ => format!("redfish://{address}/redfish/v1/Systems/1"),
    };
    let mut machine = json!({
        "apiVersion": "muster.dev/v1alpha1", "kind": "Machine", "metadata": metadata(n, dice),
        "spec": {
            "site": site, "rack": format!("{site}-r{}", dice.below(500)), "serial": dice.serial(10),
            "role": dice.one(&["worker", "storage", "control", "database", "gpu", "edge"]),
            "profile": format!("{}{}", dice.one(&["r7625-", "dl380-", "profile-", "small"]), dice.below(9)),
            "bmc": {"address": address, "secretRef": format!("bmc-{site}")},
        },
    });
    if dice.below(2) == 0 {
        machine["metadata"]["labels"] =
            json!({"muster.dev/owner": "infra", "example.com/order": dice.serial(6)});
    }
    if dice.below(3) != 0 {
        machine["status"] = status(n, dice);
    }
    machine
}

fn status(n: u64, dice: &mut Dice) -> Value {
    let phases =
        ["Registered", "Inspecting", "Provisioning", "Probation", "Healthy", "Disrupted", "Probation"];
    let reasons = [
        "registered",
        "its hardware is being inspected",
        "its role is being installed",
        "it is watched for a while",
        "probation is over",
        "a repair was granted",
        "the repair is done",
        "its inventory was observed",
    ];
    let until = 1 + dice.below(phases.len() as u64) as usize;
    let step = |at: usize, dice: &mut Dice| {
        let mut step = json!({"at": dice.time(), "to": phases[at], "reason": reasons[at]});
        if 0 < at {
            step["from"] = json!(phases[at - 1]);
        }
        if 4 < at {
            step["run"] = json!(format!("repair-{}", dice.serial(8).to_lowercase()));
        }
        step
    };
    let transitions: Vec<Value> = (0..until).map(|at| step(at, dice)).collect();
    json!({
        "phase": phases[until - 1], "since": dice.time(), "deadline": dice.time(), "message": reasons[until - 1],
        "node": format!("node-{n}"), "bootID": dice.uuid(), "fence": dice.below(9), "transitions": transitions,
        "conditions": [{
            "type": dice.one(&["Accepted", "HardwareMatches", "Ready"]), "status": dice.one(&["True", "False", "Unknown"]),
            "reason": dice.one(&["AsIntended", "UnknownRole", "Missing"]), "message": "as intended",
            "lastTransitionTime": dice.time(), "observedGeneration": 1,
        }],
    })
}

fn inventory(n: u64, dice: &mut Dice) -> Value {
    let models = [
        "SAMSUNG MZQL23T8HCLS-00A07",
        "INTEL SSDPE2KX040T8",
        "ST16000NM001G-2KK103",
        "Micron_7450_MTFDKCC3T8TFR",
        "KIOXIA KCD81RUG7T68",
        "WDC WUS721010ALE6L4",
        "TOSHIBA MG08ACA16TE",
        "QEMU HARDDISK",
    ];
    let (rotational, disk) = (dice.below(2) == 0, dice.one(&models));
    let disks = (0..1 + dice.below(14)).map(|at| {
        let letter = char::from(b'a' + (at % 26) as u8);
        let name = if rotational { format!("sd{letter}") } else { format!("nvme{at}n1") };
        let bytes: u64 = dice.one(&[480_103_981_056, 3_840_755_982_336, 7_681_501_126_656, 16_000_900_661_248]);
        json!({"name": name, "sizeBytes": bytes, "rotational": rotational, "model": disk, "serial": dice.serial(14)})
    });
    let disks: Vec<Value> = disks.collect();
    let driver = dice.one(&["mlx5_core", "ixgbe", "i40e", "ice", "bnxt_en", "virtio_net"]);
    let speed = dice.one(&[1000, 10000, 25000, 100_000]);
    let nics = (0..1 + dice.below(4)).map(|at| {
        let name = format!("{}{at}", dice.one(&["eth", "eno", "enp65s0f", "ens3f"]));
        json!({"name": name, "mac": dice.mac(), "speedMbps": speed, "driver": driver})
    });
    let nics: Vec<Value> = nics.collect();
    let cpu = [
        "AMD EPYC 9354 32-Core Processor",
        "AMD EPYC 7543 32-Core Processor",
        "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz",
        "Intel(R) Xeon(R) Platinum 8480+",
        "Ampere(R) Altra(R) Processor",
    ];
    let mut status = json!({
        "observedAt": dice.time(), "bootID": dice.uuid(), "serial": dice.serial(7), "memoryGiB": 128 << dice.below(4),
        "kernel": format!("6.{}.0-{}-{}", dice.below(13), dice.below(40), dice.one(&["amd64", "generic", "cloud-amd64"])),
        "cpu": {"model": dice.one(&cpu), "sockets": 1 + dice.below(2), "cores": 32 << dice.below(3), "threads": 64 << dice.below(3)},
        "disks": disks, "nics": nics,
        "model": dice.one(&["PowerEdge R7625", "ProLiant DL380 Gen11", "SYS-221H-TNR", "ThinkSystem SR650 V3"]),
        "firmware": format!("{}.{}.{}", dice.below(9), dice.below(20), dice.below(20)),
    });
    if dice.below(9) == 0 {
        status["missing"] = json!([format!("disk {}", dice.below(12))]);
        status["surplus"] = json!([format!("nic eth{}", dice.below(4))]);
    }
    json!({
        "apiVersion": "muster.dev/v1alpha1", "kind": "Inventory", "metadata": metadata(n, dice),
        "spec": {}, "status": status,
    })
}
