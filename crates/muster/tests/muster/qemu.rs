//! A whole machine in QEMU: powered off, with a management controller and nothing on a disk, until it is a Healthy node.

mod monitor;
mod rack;

use std::time::{Duration, Instant};

use rack::{DISK, MAC, NAME, NVME, Rack, SERIAL};
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
    let Some(rack) = Rack::build_or_say() else { return };
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
    let Some(rack) = Rack::build_or_say() else { return };
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
    assert_eq!(
        requests["items"].as_array().map(Vec::len),
        Some(2),
        "its agent and its doctor: it needed no other token"
    );
    it_serves(&rack);
}

/// Seconds in which a doctor is to file what it sees of a part.
const FILED_WITHIN: u64 = 60;

fn is_filed(rack: &Rack, problem: &str, wanted: &str) -> String {
    let began = Instant::now();
    let within = Duration::from_secs(FILED_WITHIN);
    let evidence = wait_for(problem, within, || match rack.problem(problem)? {
        (state, evidence) if state == wanted => Ok(evidence),
        other => Err(format!("{other:?}")),
    });
    println!("{problem} is {wanted} after {:.1} s", began.elapsed().as_secs_f32());
    evidence
}

#[test]
#[ignore = "make test-slow runs it"]
fn a_machine_check_and_the_warning_of_an_nvme_disk_are_filed_within_a_minute() {
    let Some(rack) = Rack::build_or_say() else { return };
    rack.invite("", None);
    rack.boot_from_network();
    becomes_healthy(&rack, &mut Watch::start());
    let problems = rack.cluster.get(&["problems"]).unwrap();
    // An emulated machine that boots is slow to answer at times, which is suspect and not more.
    let opened = |problem: &&Value| problem["status"]["episode"].as_i64() != Some(0);
    let opened: Vec<&Value> = problems["items"].as_array().unwrap().iter().filter(opened).collect();
    assert!(opened.is_empty(), "nothing is wrong with it: {opened:?}");
    let mut monitor = rack.monitor();
    monitor.nvme_warning(1 << 2);
    let evidence = is_filed(&rack, "disk.failing.nvme0n1", "Open");
    assert!(evidence.contains("not reliable any more"), "{evidence}");
    monitor.machine_check();
    let evidence = is_filed(&rack, "mem.ecc.cpu", "Open");
    assert!(evidence.contains("[Hardware Error]"), "{evidence}");
    monitor.nvme_warning(0);
    wait_for("clear of the warning", WITHIN, || {
        let (state, _) = rack.problem("disk.failing.nvme0n1")?;
        equal(&state, "Clear")
    });
    assert_eq!(rack.problem("mem.ecc.cpu").unwrap().0, "Open", "an hour has to pass without another");
    assert_eq!(rack.sim.acts(), ["power 1"], "a person is to look at it");
}

/// A repair has ended well, by another boot than before.
fn is_mended(rack: &Rack, run: &str, boot: &mut String) {
    let began = Instant::now();
    wait_for("end of the repair", 2 * WITHIN, || match rack.run(run)["status"]["phase"].as_str() {
        Some("Succeeded") => Ok(()),
        Some("Failed" | "Ambiguous" | "Canceled") => panic!("{:#}", rack.run(run)["status"]),
        _ => Err(rack.run(run)["status"]["steps"].to_string()),
    });
    wait_for("Healthy", WITHIN, || equal(&rack.machine("/status/phase"), "Healthy"));
    println!("{run}: {:.1} s", began.elapsed().as_secs_f32());
    let now = rack.machine("/status/bootID");
    assert_ne!(now, *boot, "it is another boot");
    *boot = now;
}

#[test]
#[ignore = "make test-slow runs it"]
fn it_boots_anew_is_installed_anew_and_found_when_it_hangs_and_is_back_each_time() {
    let Some(rack) = Rack::build_or_say() else { return };
    rack.patch("machinerole", "worker", r#"[{"op": "add", "path": "/spec/image", "value": {}}]"#);
    // Fifteen minutes otherwise: a planned reboot takes minutes.
    rack.patch(
        "repairpolicy",
        "silent",
        r#"[{"op": "replace", "path": "/spec/rungs/0/deadline", "value": "10s"}]"#,
    );
    rack.invite("muster.data=LABEL=muster", None);
    rack.boot_from_network();
    becomes_healthy(&rack, &mut Watch::start());
    let mut boot = rack.machine("/status/bootID");
    let cycle = ["power 0", "power 1"];
    let mut acts = vec!["power 1"];

    rack.start("reboot", "boots-anew");
    is_mended(&rack, "boots-anew", &mut boot);
    assert_eq!(rack.sim.acts(), acts, "its controller had no part in it");

    rack.start("reimage", "installed-anew");
    is_mended(&rack, "installed-anew", &mut boot);
    acts.extend(cycle);
    assert_eq!(rack.sim.acts(), acts);

    rack.monitor().hang();
    let evidence = is_filed(&rack, "machine.silent", "Open");
    println!("{evidence}");
    is_mended(&rack, "repair-db-01.machine.silent-1", &mut boot);
    acts.extend(cycle);
    assert_eq!(rack.sim.acts(), acts, "one cycle and no other");
    equal(&rack.problem("machine.silent").unwrap().0, "Clear").unwrap();
    assert!(rack.problem("reboot.loop").is_err(), "its four boots were wanted");
    it_serves(&rack);
}

fn its_inventory_is_that_of_the_emulated_machine(rack: &Rack) {
    let inventory = rack.cluster.get(&["inventory", NAME]).unwrap();
    let text = |pointer: &str| inventory.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    assert_eq!(text("/status/serial"), SERIAL);
    assert_eq!((text("/status/nics/0/mac"), text("/status/nics/0/driver")), (MAC, "virtio_net"));
    let disks: Vec<_> = inventory["status"]["disks"].as_array().into_iter().flatten().collect();
    let disks: Vec<_> = disks.iter().map(|disk| (&disk["name"], &disk["serial"])).collect();
    assert_eq!(disks, [(&"nvme0n1".into(), &NVME.into()), (&"vda".into(), &DISK.into())]);
    assert_eq!(inventory.pointer("/status/cpu/threads"), Some(&Value::from(1)));
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
    let Some(rack) = Rack::build_or_say() else { return };
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
