use muster_network::host::{self, HostError};
use muster_network::owned::Record;
use muster_network::{Network, cni};

use crate::lab::{Lab, at};
use crate::world::directory;

fn sysctl(lab: &Lab, key: &str) -> String {
    lab.inside("node", || std::fs::read_to_string(format!("/proc/sys/{key}")).unwrap().trim().to_owned())
}

#[test]
fn pods_attached_by_the_real_plugins_reach_each_other_and_the_node() {
    let mut lab = Lab::with_node();
    let (first, second) = (lab.pod(), lab.pod());
    lab.serve("pod0", 8080);
    assert_eq!(lab.dial("pod1", &at(first, 8080)).unwrap(), format!("pod0 {second}"));
    assert_eq!(lab.dial("node", &at(first, 8080)).unwrap(), "pod0 10.244.1.1");
}

#[test]
fn making_the_node_twice_changes_nothing() {
    let lab = Lab::with_node();
    let record = || std::fs::read_to_string(lab.config.data_dir.join("owned.json")).unwrap();
    let state = || (lab.node("ip", &["address"]), lab.node("ip", &["route"]), record());
    let before = state();
    lab.ensure().unwrap();
    assert_eq!(state(), before);
}

#[test]
fn removing_leaves_nothing_and_gives_back_the_former_values() {
    let mut lab = Lab::new();
    lab.node("sysctl", &["-qw", "net.ipv4.ip_forward=0", "net.bridge.bridge-nf-call-iptables=0"]);
    let state = |lab: &Lab| {
        let tools = [
            lab.node("ip", &["-br", "address", "show", "scope", "global"]),
            lab.node("ip", &["-br", "-4", "address"]),
            lab.node("ip", &["route"]),
            lab.node("nft", &["list", "tables"]),
        ];
        (tools, sysctl(lab, "net/ipv4/ip_forward"), sysctl(lab, "net/bridge/bridge-nf-call-iptables"))
    };
    let before = state(&lab);
    lab.ensure().unwrap();
    assert_eq!(sysctl(&lab, "net/ipv4/ip_forward"), "1");
    assert_eq!(sysctl(&lab, "net/bridge/bridge-nf-call-iptables"), "1");
    // A second start must not take our own value for the former one.
    lab.ensure().unwrap();
    lab.pod();
    let mut proxy = lab.open_proxy();
    lab.pass(&mut proxy, &directory("")).unwrap();
    let data = lab.config.data_dir.clone();
    lab.run("node", async {
        let mut record = Record::open(&data).unwrap();
        record.add(muster_network::owned::Effect::Table).unwrap();
    });
    lab.run("node", Network::remove(&data)).unwrap();
    assert_eq!(state(&lab), before);
    let files = |folder| std::fs::read_dir(folder).map(|entries| entries.count()).unwrap_or(0);
    assert_eq!((files(&data), files(&lab.config.cni_conf_dir)), (0, 0));
    lab.run("node", Network::remove(&data)).unwrap();
}

#[test]
fn a_host_port_answers_and_removing_leaves_none_of_its_chains() {
    let mut lab = Lab::with_node();
    lab.pod();
    lab.serve("pod0", 8080);
    lab.outside();
    lab.host_port(0, 9090);
    assert_eq!(lab.dial("outside", "192.0.2.1:9090").unwrap(), "pod0 192.0.2.2");
    let rules = || lab.node("iptables", &["-t", "nat", "-S"]);
    assert!(rules().contains("CNI-HOSTPORT-DNAT"));
    lab.run("node", Network::remove(&lab.config.data_dir)).unwrap();
    assert!(!rules().contains("CNI-"), "{}", rules());
}

#[test]
fn other_settings_take_the_place_of_the_former_ones() {
    let mut lab = Lab::with_node();
    lab.config.bridge = "muster1".into();
    lab.config.pod_cidr = "10.244.7.0/24".parse().unwrap();
    lab.config.service_cidr = "10.112.0.0/16".parse().unwrap();
    lab.config.dns.address = "10.112.0.10".parse().unwrap();
    lab.ensure().unwrap();
    let (addresses, routes) = (lab.node("ip", &["-br", "-4", "address"]), lab.node("ip", &["route"]));
    assert!(!addresses.contains("muster0") && !addresses.contains("10.96.0.10"), "{addresses}");
    assert!(addresses.contains("10.112.0.10/32") && !routes.contains("10.96.0.0"), "{addresses}{routes}");
    lab.config.pod_cidr = "10.244.8.0/24".parse().unwrap();
    lab.ensure().unwrap();
    assert_eq!(lab.pod().to_string(), "10.244.8.2");
    assert!(!lab.node("ip", &["address"]).contains("10.244.7.1"));
}

#[test]
fn what_another_made_is_not_taken() {
    let lab = Lab::new();
    lab.node("ip", &["link", "add", "muster0", "type", "bridge"]);
    assert!(matches!(lab.ensure(), Err(HostError::ForeignBridge { .. })));
    lab.run("node", Network::remove(&lab.config.data_dir)).unwrap();
    assert!(lab.node("ip", &["-br", "link"]).contains("muster0"));

    let lab = Lab::new();
    lab.node("ip", &["link", "add", "other", "type", "bridge"]);
    lab.node("ip", &["link", "set", "other", "up"]);
    lab.node("ip", &["route", "add", "10.96.0.0/12", "dev", "other"]);
    assert!(matches!(lab.ensure(), Err(HostError::ForeignRoute { .. })));
    lab.run("node", Network::remove(&lab.config.data_dir)).unwrap();
    assert!(lab.node("ip", &["route"]).contains("10.96.0.0/12 dev other"));
}

#[test]
fn a_sysctl_changed_by_another_since_is_left_to_them_and_a_failed_step_stops_no_other() {
    let lab = Lab::new();
    lab.node("sysctl", &["-qw", "net.ipv4.ip_forward=0"]);
    lab.ensure().unwrap();
    let config = lab.config.clone();
    // A folder where the file was: it cannot be removed as a file.
    std::fs::remove_file(config.cni_conf_dir.join(cni::FILE)).unwrap();
    std::fs::create_dir(config.cni_conf_dir.join(cni::FILE)).unwrap();
    let (errors, left) = lab.run("node", async move {
        let mut record = Record::open(&config.data_dir).unwrap();
        let errors = host::undo(&mut record).await;
        (errors.len(), record.effects().len())
    });
    assert_eq!((errors, left), (1, 1));
    assert_eq!(sysctl(&lab, "net/ipv4/ip_forward"), "0");
}
