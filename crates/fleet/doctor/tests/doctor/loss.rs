//! Frames that get lost on the way to the gateway, for real: a filter that drops three in ten.

use std::time::Duration;

use crate::bench::{Bench, needs, wait_for, wait_state};
use crate::namespace::Namespace;

const SECOND: Duration = Duration::from_secs(1);

/// A machine with two ways out, and what lies behind them.
struct Ways {
    machine: Namespace,
    gateways: Namespace,
}

impl Ways {
    fn new() -> Self {
        let (machine, gateways) = (Namespace::new(), Namespace::new());
        machine.connect(["lossy0", "10.77.0.2/24"], &gateways, ["lossy1", "10.77.0.1/24"]);
        machine.connect(["good0", "10.78.0.2/24"], &gateways, ["good1", "10.78.0.1/24"]);
        machine.connect(["mute0", "10.79.0.2/24"], &gateways, ["mute1", "10.79.0.1/24"]);
        for (number, name) in [(77, "lossy0"), (78, "good0"), (79, "mute0")] {
            let gateway = format!("10.{number}.0.1");
            let metric = number.to_string();
            machine.run("ip", &["route", "add", "default", "via", &gateway, "dev", name, "metric", &metric]);
        }
        machine.run("sh", &["-c", "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range"]);
        let ways = Self { machine, gateways };
        ways.filter("add table ip lossy");
        ways.filter("add chain ip lossy in { type filter hook input priority 0; }");
        ways.filter("add rule ip lossy in icmp type echo-request counter");
        ways.filter("add rule ip lossy in iifname mute1 icmp type echo-request drop");
        ways
    }

    fn filter(&self, words: &str) {
        self.gateways.run("nft", &[words]);
    }

    /// Echoes that came to the gateways.
    fn asked(&self) -> u64 {
        let chain = self.gateways.run("nft", &["list", "chain", "ip", "lossy", "in"]);
        let counted = chain.split("counter packets ").nth(1).unwrap();
        counted.split(' ').next().unwrap().parse().unwrap()
    }
}

#[test]
fn a8_frames_lost_on_the_way_to_the_gateway_are_told_within_five_points_and_apart_from_a_link_that_is_gone() {
    needs!("ip", "nft", "sh", "sleep");
    let ways = Ways::new();
    ways.machine.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(tells_what_is_lost(&ways));
    });
}

async fn tells_what_is_lost(ways: &Ways) {
    let bench = Bench::new();
    let mut local = bench.blind();
    std::fs::create_dir(bench.path("proc")).unwrap();
    std::os::unix::fs::symlink(ways.machine.proc().join("net"), bench.path("proc/net")).unwrap();
    local.roots.sys = ways.machine.sys();
    let cards = local.roots.sys.join("class/net/lossy0");
    wait_for("the namespace's own files", 10 * SECOND, || {
        if cards.exists() { Ok(()) } else { Err(format!("no {}", cards.display())) }
    })
    .await;
    let tasks = bench.doctor(local).await;
    wait_for("echoes to all gateways", 20 * SECOND, || {
        let asked = ways.asked();
        if 12 <= asked { Ok(()) } else { Err(format!("{asked} echoes")) }
    })
    .await;
    assert_eq!(bench.fleet.states(), [""; 0]);
    ways.filter("add rule ip lossy in iifname lossy1 icmp type echo-request numgen random mod 100 < 30 drop");
    let took = wait_state(&bench.fleet, "nic.loss lossy0 Open", 120 * SECOND).await;
    let status = bench.fleet.status("nic.loss", "lossy0").unwrap();
    let text = status["evidence"][0]["text"].as_str().unwrap().to_owned();
    println!("a8: three in ten lost, to Problem: {took:?}; {text}");
    assert!(text.ends_with(" % of 1000 echoes lost on the way to 10.77.0.1"), "{text}");
    let share: f64 = text.split(' ').next().unwrap().parse().unwrap();
    assert!((share - 30.0).abs() <= 5.0, "{text}");
    assert_eq!(bench.fleet.states(), ["nic.loss lossy0 Open"], "no other way, no other class");
    ways.gateways.link("set good1 down");
    wait_state(&bench.fleet, "nic.down good0 Open", 15 * SECOND).await;
    assert_eq!(bench.fleet.states(), ["nic.down good0 Open", "nic.loss lossy0 Open"]);
    tasks.drain(5 * SECOND).await.unwrap();
}
