use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use muster_network::directory::Directory;
use muster_network::proxy::{Outcome, ProxyError};

use crate::lab::{Lab, PATIENCE};
use crate::world::directory;

const VIP: &str = "10.96.0.5:80";

/// A node, `servers` pods that serve on 8080, and one more pod that only asks.
fn lab(servers: usize) -> (Lab, Vec<String>, String) {
    let mut lab = Lab::with_node();
    let addresses: Vec<String> = (0..servers).map(|_| lab.pod().to_string()).collect();
    for server in 0..servers {
        lab.serve(&format!("pod{server}"), 8080);
    }
    lab.pod();
    (lab, addresses, format!("pod{servers}"))
}

fn web(options: &str, endpoints: &[String]) -> Directory {
    directory(&format!(
        "service default/web 10.96.0.5 80 {options}\nslice default/web 8080 {}",
        endpoints.join(" ")
    ))
}

#[test]
fn a_pod_and_the_node_reach_every_endpoint_of_a_service_and_none_fails() {
    let (lab, endpoints, client) = lab(2);
    let mut proxy = lab.open_proxy();
    let elements = 1 + 16 + 2;
    assert_eq!(lab.pass(&mut proxy, &web("", &endpoints)).unwrap(), Outcome::Replaced { elements });
    assert_eq!(lab.pass(&mut proxy, &web("", &endpoints)).unwrap(), Outcome::Unchanged);
    for from in [client.as_str(), "node", "pod0"] {
        let tally = lab.tally(from, VIP, 40);
        let names: Vec<&str> = tally.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["pod0", "pod1"], "from {from}: {tally:?}");
        assert!(tally.iter().all(|(_, times)| 8 <= *times), "from {from}: {tally:?}");
    }
}

#[test]
fn a_pod_reaches_itself_through_its_service() {
    let (lab, endpoints, _) = lab(1);
    let mut proxy = lab.open_proxy();
    lab.pass(&mut proxy, &web("", &endpoints)).unwrap();
    assert_eq!(lab.dial("pod0", VIP).unwrap(), "pod0 10.244.1.1");
}

#[test]
fn a_pod_is_seen_under_its_own_address_by_an_endpoint() {
    let (lab, endpoints, client) = lab(1);
    let mut proxy = lab.open_proxy();
    lab.pass(&mut proxy, &web("", &endpoints)).unwrap();
    assert_eq!(lab.dial(&client, VIP).unwrap(), "pod0 10.244.1.3");
}

#[test]
fn a_sticky_client_stays_with_its_endpoint_while_others_come_and_go() {
    let (lab, endpoints, client) = lab(3);
    let mut proxy = lab.open_proxy();
    lab.pass(&mut proxy, &web("sticky", &endpoints)).unwrap();
    for from in [client.as_str(), "node"] {
        let before = lab.tally(from, VIP, 20);
        assert_eq!(before.len(), 1, "from {from}: {before:?}");
        let gone: usize = if before[0].0 == "pod0" { 1 } else { 0 };
        let fewer: Vec<String> =
            endpoints.iter().enumerate().filter(|(n, _)| *n != gone).map(|(_, e)| e.clone()).collect();
        lab.pass(&mut proxy, &web("sticky", &fewer)).unwrap();
        assert_eq!(lab.tally(from, VIP, 20), before);
        lab.pass(&mut proxy, &web("sticky", &endpoints)).unwrap();
    }
}

#[test]
fn what_has_no_endpoint_is_refused_at_once() {
    let (lab, _, client) = lab(0);
    let mut proxy = lab.open_proxy();
    lab.pass(&mut proxy, &web("", &["10.244.1.77!unready".into()])).unwrap();
    for from in [client.as_str(), "node"] {
        for to in [VIP, "10.96.3.4:443"] {
            let took = lab.refused(from, to);
            assert!(took < Duration::from_millis(500), "{from} to {to}: {took:?}");
        }
        let error = lab.inside(from, || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.connect("10.96.0.5:80").unwrap();
            // From the node itself the refusal comes with the sending.
            socket.send(b"?").and_then(|_| socket.recv(&mut [0; 8])).unwrap_err()
        });
        let refused = [std::io::ErrorKind::ConnectionRefused, std::io::ErrorKind::PermissionDenied]
            .contains(&error.kind());
        assert!(refused, "{from}: {error}");
    }
}

#[test]
fn a_change_of_one_endpoint_leaves_open_connections_and_other_services_alone() {
    let (lab, endpoints, client) = lab(2);
    let mut proxy = lab.open_proxy();
    let world = |second: &str| {
        directory(&format!(
            "service default/web 10.96.0.5 80\nslice default/web 9000 {}
             service default/other 10.96.0.6 80\nslice default/other 8080 {second}",
            endpoints[0]
        ))
    };
    lab.pass(&mut proxy, &world(&endpoints[0])).unwrap();
    let listener = lab.inside("pod0", || TcpListener::bind("0.0.0.0:9000").unwrap());
    let mut near =
        lab.inside(&client, || TcpStream::connect_timeout(&VIP.parse().unwrap(), PATIENCE).unwrap());
    let (mut far, _) = listener.accept().unwrap();
    let changed = lab.pass(&mut proxy, &world(&endpoints[1])).unwrap();
    assert_eq!(changed, Outcome::Changed { deleted: 1, added: 2 });
    assert_eq!(lab.tally(&client, "10.96.0.6:80", 3), [("pod1".to_owned(), 3)]);
    near.write_all(b"still here").unwrap();
    let mut heard = [0; 10];
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    far.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"still here");
    assert!(lab.inside(&client, || TcpStream::connect_timeout(&VIP.parse().unwrap(), PATIENCE)).is_ok());
}

#[test]
fn a_udp_client_that_keeps_its_port_moves_on_when_its_endpoint_is_gone() {
    let (lab, endpoints, client) = lab(2);
    let mut proxy = lab.open_proxy();
    let world = |endpoint: &str| {
        directory(&format!("service default/dns 10.96.0.5 53/udp\nslice default/dns 5353/udp {endpoint}"))
    };
    let servers: Vec<UdpSocket> =
        (0..2).map(|n| lab.inside(&format!("pod{n}"), || UdpSocket::bind("0.0.0.0:5353").unwrap())).collect();
    lab.pass(&mut proxy, &world(&endpoints[0])).unwrap();
    let asking = lab.inside(&client, || UdpSocket::bind("0.0.0.0:0").unwrap());
    asking.connect("10.96.0.5:53").unwrap();
    for (server, endpoint) in servers.iter().zip(&endpoints) {
        lab.pass(&mut proxy, &world(endpoint)).unwrap();
        asking.send(b"who").unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        server.recv_from(&mut [0; 8]).unwrap_or_else(|error| panic!("{endpoint}: {error}"));
    }
}

#[test]
fn node_ports_and_external_addresses_answer_the_world_and_pods_leave_under_the_nodes_address() {
    let (mut lab, endpoints, client) = lab(1);
    lab.outside();
    lab.serve("outside", 7000);
    let mut proxy = lab.open_proxy();
    let world = format!(
        "service default/web 10.96.0.5 80@30080 ip=192.0.2.1\nslice default/web 8080 {0}
         service default/near 10.96.0.6 80@30081 local-out\nslice default/near 8080 {0}",
        endpoints[0]
    );
    lab.pass(&mut proxy, &directory(&world)).unwrap();
    assert_eq!(lab.dial("outside", "192.0.2.1:30080").unwrap(), "pod0 10.244.1.1");
    assert_eq!(lab.dial("outside", "192.0.2.1:80").unwrap(), "pod0 10.244.1.1");
    assert_eq!(lab.dial("node", "192.0.2.1:30080").unwrap(), "pod0 10.244.1.1");
    lab.node("ip", &["netns", "list"]);
    assert_eq!(lab.dial(&client, "192.0.2.2:7000").unwrap(), "outside 192.0.2.1");
    lab.refused("outside", "192.0.2.1:30999");
}

#[test]
fn a_table_that_somebody_changed_is_noticed_and_replaced() {
    let (lab, endpoints, client) = lab(1);
    let mut proxy = lab.open_proxy();
    lab.pass(&mut proxy, &web("", &endpoints)).unwrap();
    lab.run("node", proxy.verify()).unwrap();
    lab.node("nft", &["flush", "map", "ip", "muster", "front_buckets"]);
    let error = lab.run("node", proxy.verify()).unwrap_err();
    assert!(matches!(error, ProxyError::Differs { missing: 1, surplus: 0 }), "{error}");
    assert!(matches!(lab.pass(&mut proxy, &web("", &endpoints)).unwrap(), Outcome::Replaced { .. }));
    assert_eq!(lab.tally(&client, VIP, 2), [("pod0".to_owned(), 2)]);
}

#[test]
fn a_transaction_that_fails_leads_to_a_whole_new_table() {
    let (lab, endpoints, client) = lab(2);
    let mut proxy = lab.open_proxy();
    lab.pass(&mut proxy, &web("", &endpoints[..1])).unwrap();
    lab.node("nft", &["delete", "table", "ip", "muster"]);
    assert!(matches!(lab.pass(&mut proxy, &web("", &endpoints[1..])).unwrap(), Outcome::Replaced { .. }));
    assert_eq!(lab.tally(&client, VIP, 2), [("pod1".to_owned(), 2)]);
}

#[test]
fn a_later_process_takes_the_table_over_and_every_bucket_stays_where_it_was() {
    let (lab, endpoints, _) = lab(3);
    let mut proxy = lab.open_proxy();
    // Through these steps the owners of the buckets come to depend on what was before.
    lab.pass(&mut proxy, &web("sticky", &endpoints[..2])).unwrap();
    lab.pass(&mut proxy, &web("sticky", &endpoints)).unwrap();
    let list = || lab.node("nft", &["list", "map", "ip", "muster", "front_buckets"]);
    let before = list();
    let mut later = lab.open_proxy();
    assert!(matches!(lab.pass(&mut later, &web("sticky", &endpoints)).unwrap(), Outcome::Replaced { .. }));
    assert_eq!(list(), before);
    let empty = lab.pass(&mut later, &Directory::default()).unwrap();
    assert_eq!(empty, Outcome::Changed { deleted: 1 + 16 + 3, added: 0 });
    assert!(!list().contains("elements"), "{}", list());
}
