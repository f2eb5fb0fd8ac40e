//! A whole machine in QEMU: powered off, with a management controller and nothing on a disk, until it is a Healthy node.

mod rack;

use std::time::{Duration, Instant};

use rack::{DISK, MAC, NAME, Rack, SERIAL};
use serde_json::Value;

use crate::harness::wait_for;

/// What issue 4 asks for; emulation beside other work may take longer, which is said and is no failure.
const GOAL: Duration = Duration::from_secs(300);
/// For one phase of it.
const WITHIN: Duration = Duration::from_secs(400);

/// The seconds since the order to turn on, phase by phase.
struct Watch {
    began: Instant,
    told: Vec<String>,
}

impl Watch {
    fn start() -> Self {
        Self { began: Instant::now(), told: Vec::new() }
    }

    fn seen<T>(&mut self, what: &str, look: impl FnMut() -> Result<T, String>) -> T {
        let found = wait_for(what, WITHIN, look);
        self.told.push(format!("{:6.1} s  {what}", self.began.elapsed().as_secs_f32()));
        found
    }

    fn tell(self) {
        let took = self.began.elapsed();
        println!("from powered off to Healthy (goal {} s):", GOAL.as_secs());
        println!("{}", self.told.join("\n"));
        if GOAL < took {
            println!("the goal was missed by {} s", (took - GOAL).as_secs());
        }
    }
}

fn equal(found: &str, wanted: &str) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{found:?}")) }
}

fn contains(text: &str, wanted: &str) -> Result<(), String> {
    if text.contains(wanted) { Ok(()) } else { Err(text[text.len().saturating_sub(400)..].to_owned()) }
}

#[test]
#[ignore = "make test-slow runs it"]
fn from_powered_off_to_healthy() {
    let rack = match Rack::build() {
        Ok(rack) => rack,
        Err(why) => return println!("could not run: {why}"),
    };
    rack.invite("", None);
    assert_eq!((rack.sim.acts(), rack.emulator()), (Vec::new(), None), "it is off");
    assert_eq!(rack.machine("/status/phase"), "Inspecting", "it waits for what its agent will tell");
    let mut watch = Watch::start();
    rack.boot_from_network();
    becomes_healthy(&rack, &mut watch);
    watch.tell();
    equal(&rack.run("boot")["status"]["phase"].to_string(), "\"Succeeded\"").unwrap();
    assert_eq!(rack.sim.acts(), ["power 1"], "turned on once, and nothing else");
    its_inventory_is_that_of_the_emulated_machine(&rack);
    it_serves(&rack);
    rack.power("off");
    assert_eq!((rack.sim.acts(), rack.emulator()), (vec!["power 1".to_owned(), "power 0".to_owned()], None));
}

fn becomes_healthy(rack: &Rack, watch: &mut Watch) {
    watch.seen("the controller turned it on", || {
        rack.emulator().map(drop).ok_or_else(|| rack.run("boot").to_string())
    });
    watch.seen("it has an address by DHCP", || contains(&rack.words("dnsmasq.log"), "DHCPACK"));
    watch.seen("its kernel runs", || contains(&rack.words("console.log"), "is up"));
    watch.seen("its agent starts", || contains(&rack.words("console.log"), "the agent starts"));
    watch.seen("it has joined", || contains(&rack.words("console.log"), "this machine has joined"));
    for phase in ["Provisioning", "Probation", "Healthy"] {
        // A phase may be over between two looks: its transition stays.
        watch.seen(phase, || contains(&rack.machine("/status/transitions"), &format!("\"to\":\"{phase}\"")));
    }
}

#[test]
#[ignore = "make test-slow runs it"]
fn a_power_cycle_and_it_is_back_by_itself_with_what_it_keeps_on_its_disk() {
    let rack = match Rack::build() {
        Ok(rack) => rack,
        Err(why) => return println!("could not run: {why}"),
    };
    rack.invite("muster.data=LABEL=muster", None);
    let mut watch = Watch::start();
    rack.boot_from_network();
    becomes_healthy(&rack, &mut watch);
    watch.tell();
    let boot = rack.machine("/status/bootID");
    let began = Instant::now();
    println!("{}", rack.power("cycle"));
    println!("from Healthy by a power cycle to Healthy: {:.1} s", began.elapsed().as_secs_f32());
    assert_eq!(rack.sim.acts(), ["power 1", "power 0", "power 1"]);
    assert_eq!(rack.machine("/status/phase"), "Healthy");
    assert_ne!(rack.machine("/status/bootID"), boot, "it is another boot");
    let requests = rack.cluster.get(&["certificatesigningrequests"]).unwrap();
    assert_eq!(requests["items"].as_array().map(Vec::len), Some(1), "it needed no other token");
    it_serves(&rack);
}

fn its_inventory_is_that_of_the_emulated_machine(rack: &Rack) {
    let inventory = rack.cluster.get(&["inventory", NAME]).unwrap();
    let text = |pointer: &str| inventory.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    assert_eq!(text("/status/serial"), SERIAL);
    assert_eq!((text("/status/nics/0/mac"), text("/status/nics/0/driver")), (MAC, "virtio_net"));
    assert_eq!((text("/status/disks/0/name"), text("/status/disks/0/serial")), ("vda", DISK));
    assert_eq!(inventory.pointer("/status/cpu/threads"), Some(&Value::from(2)));
    let host = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let kernel = text("/status/kernel");
    assert!(kernel.contains("amd64") && kernel != host.trim(), "{kernel}");
}

/// A pod runs there and its log is read over the agent's port.
fn it_serves(rack: &Rack) {
    let made = rack.cluster.kubectl(&["run", "hello", "--image=muster.local/hello:1"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    wait_for("running pod", WITHIN, || {
        let pod = rack.cluster.get(&["pod", "hello"])?;
        assert!(pod["spec"]["nodeName"].is_null() || pod["spec"]["nodeName"] == NAME);
        equal(pod["status"]["phase"].as_str().unwrap_or_default(), "Running")
    });
    wait_for("log of the pod", Duration::from_secs(30), || {
        let output = rack.cluster.kubectl(&["logs", "hello"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        contains(&format!("{said}{}", String::from_utf8_lossy(&output.stderr)), "listens on port")
    });
}

#[test]
#[ignore = "make test-slow runs it"]
fn a_wrong_token_keeps_a_machine_out_and_its_console_says_why() {
    let rack = match Rack::build() {
        Ok(rack) => rack,
        Err(why) => return println!("could not run: {why}"),
    };
    rack.invite("", Some("abc123.0123456789abcdef"));
    rack.boot_from_network();
    wait_for("refusal", WITHIN, || contains(&rack.words("console.log"), "starts again in 60 s"));
    let console = rack.words("console.log");
    assert!(console.contains("refuses the token"), "{console}");
    assert!(console.contains("the agent ended with code 2"), "{console}");
    assert_eq!(rack.machine("/status/phase"), "Inspecting");
    let requests = rack.cluster.get(&["certificatesigningrequests"]).unwrap();
    assert_eq!(requests["items"], Value::Array(Vec::new()));
}
