use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use muster_network::dns::server::Server;
use muster_network::dns::upstream::Upstream;
use muster_network::dns::zone::Zone;
use tokio::sync::watch;

use crate::lab::{Lab, PATIENCE};
use crate::world::directory;

const DNS: &str = "10.96.0.10:53";
const WORLD: &str = "
    service default/web 10.96.0.5 http=80
    slice default/web http=8080 10.244.1.2
    service default/outside None name=www.example.com
";

/// A DNS that runs in the node's namespace until dropped.
struct Running {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

fn start(lab: &Lab, world: Option<&str>, resolv_conf: &str) -> Running {
    let config = lab.config.clone();
    std::fs::write(&config.dns.resolv_conf, resolv_conf).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (ready, is_ready) = mpsc::channel();
    let picture = watch::Sender::new(world.map(|world| Arc::new(directory(world))));
    let enter = lab.enter("node");
    let thread = std::thread::spawn(move || {
        enter();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dns = &config.dns;
            let networks = [config.cluster_cidr, config.service_cidr];
            let zone = Zone::new(&dns.domain, dns.address, networks).unwrap();
            let upstream = Upstream::new(dns.resolv_conf.clone(), vec![dns.address.into()]);
            let address = SocketAddr::from((dns.address, dns.port));
            let server = Server::bind(address, zone, picture.subscribe(), upstream).await.unwrap();
            ready.send(()).unwrap();
            tokio::select! {
                () = server.run() => unreachable!("the server serves until it is dropped"),
                _ = stopped => {}
            }
        });
    });
    is_ready.recv().unwrap();
    Running { stop: Some(stop), thread: Some(thread) }
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

fn ask_udp(lab: &Lab, from: &str, message: &Message) -> Message {
    let bytes = message.to_vec().unwrap();
    let answer = lab.inside(from, || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
        socket.connect(DNS).unwrap();
        socket.send(&bytes).unwrap();
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    });
    Message::from_vec(&answer).unwrap()
}

fn ask_tcp(lab: &Lab, from: &str, messages: &[Message]) -> Vec<Message> {
    lab.inside(from, || {
        let mut stream = TcpStream::connect_timeout(&DNS.parse().unwrap(), PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let ask = |message: &Message| {
            let bytes = message.to_vec().unwrap();
            let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            stream.write_all(&[&length[..], &bytes].concat()).unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut answer).unwrap();
            Message::from_vec(&answer).unwrap()
        };
        messages.iter().map(ask).collect()
    })
}

fn show(message: &Message) -> String {
    let records: Vec<String> = message
        .answers
        .iter()
        .map(|r| format!("{} {} {} {}", r.name, r.ttl, r.record_type(), r.data))
        .collect();
    format!("{} [{}]", message.metadata.response_code, records.join("; "))
}

#[test]
fn pods_and_the_node_are_answered_over_udp_and_tcp() {
    let mut lab = Lab::with_node();
    lab.pod();
    let _dns = start(&lab, Some(WORLD), "");
    let web = question("web.default.svc.cluster.local.", RecordType::A);
    let expect = "No Error [web.default.svc.cluster.local. 5 A 10.96.0.5]";
    for from in ["pod0", "node"] {
        let answer = ask_udp(&lab, from, &web);
        assert_eq!((show(&answer).as_str(), answer.metadata.id), (expect, web.metadata.id), "{from}");
        assert!(answer.metadata.authoritative && answer.metadata.recursion_available);
        let answers = ask_tcp(&lab, from, &[web.clone(), web.clone()]);
        assert_eq!(answers.iter().map(show).collect::<Vec<_>>(), [expect, expect], "{from}");
    }
}

#[test]
fn what_is_not_there_is_denied_with_the_start_of_authority() {
    let lab = Lab::with_node();
    let _dns = start(&lab, Some(WORLD), "");
    let cases = [
        ("none.default.svc.cluster.local.", RecordType::A, ResponseCode::NXDomain, "cluster.local."),
        ("web.default.svc.cluster.local.", RecordType::AAAA, ResponseCode::NoError, "cluster.local."),
        ("7.7.96.10.in-addr.arpa.", RecordType::PTR, ResponseCode::NXDomain, "in-addr.arpa."),
    ];
    for (name, kind, code, owner) in cases {
        let answer = ask_udp(&lab, "node", &question(name, kind));
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (code, 0), "{name} {kind}");
        let [soa] = answer.authorities.as_slice() else { panic!("{name} {kind}: {:?}", answer.authorities) };
        assert_eq!((soa.record_type(), soa.name.to_string().as_str(), soa.ttl), (RecordType::SOA, owner, 5));
    }
}

#[test]
fn an_answer_too_large_for_the_client_is_cut_and_whole_over_tcp() {
    let lab = Lab::with_node();
    let endpoints: Vec<String> = (1..=60).map(|n| format!("10.244.1.{n}")).collect();
    let world = format!("service default/db None 5432\nslice default/db 5432 {}", endpoints.join(" "));
    let _dns = start(&lab, Some(&world), "");
    let mut many = question("db.default.svc.cluster.local.", RecordType::A);
    let cut = ask_udp(&lab, "node", &many);
    assert_eq!((cut.metadata.truncation, cut.answers.len()), (true, 0));
    let whole = ask_tcp(&lab, "node", &[many.clone()]).remove(0);
    assert_eq!((whole.metadata.truncation, whole.answers.len()), (false, 60));
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    many.set_edns(edns);
    let larger = ask_udp(&lab, "node", &many);
    assert_eq!((larger.metadata.truncation, larger.answers.len(), larger.max_payload()), (false, 60, 1232));
}

#[test]
fn other_names_are_asked_of_the_upstream_server_also_behind_an_alias() {
    let mut lab = Lab::with_node();
    lab.outside();
    let upstream = lab.inside("outside", || UdpSocket::bind("192.0.2.2:5353").unwrap());
    let answering = std::thread::spawn(move || {
        for _ in 0..2 {
            let mut buffer = [0; 512];
            let (length, client) = upstream.recv_from(&mut buffer).unwrap();
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            let mut answer = asked.clone().into_response();
            let data = "203.0.113.9".parse().map(hickory_proto::rr::RData::A).unwrap();
            answer.add_answer(hickory_proto::rr::Record::from_rdata(
                asked.queries[0].name().clone(),
                60,
                data,
            ));
            upstream.send_to(&answer.to_vec().unwrap(), client).unwrap();
        }
    });
    let _dns = start(&lab, Some(WORLD), "nameserver 10.96.0.10\nnameserver 192.0.2.2:5353\n");
    let answer = ask_udp(&lab, "node", &question("www.example.com.", RecordType::A));
    assert_eq!(show(&answer), "No Error [www.example.com. 60 A 203.0.113.9]");
    let answer = ask_udp(&lab, "node", &question("outside.default.svc.cluster.local.", RecordType::A));
    assert_eq!(
        show(&answer),
        "No Error [outside.default.svc.cluster.local. 5 CNAME www.example.com.; www.example.com. 60 A 203.0.113.9]"
    );
    answering.join().unwrap();
}

#[test]
fn without_an_upstream_server_other_names_fail_and_own_names_do_not() {
    let mut lab = Lab::with_node();
    lab.outside();
    let dns = start(&lab, Some(WORLD), "");
    let outside = question("www.example.com.", RecordType::A);
    assert_eq!(ask_udp(&lab, "node", &outside).metadata.response_code, ResponseCode::ServFail);
    drop(dns);
    let silent = lab.inside("outside", || UdpSocket::bind("192.0.2.2:5353").unwrap());
    let _dns = start(&lab, Some(WORLD), "nameserver 192.0.2.2:5353\n");
    let asked = Instant::now();
    assert_eq!(ask_udp(&lab, "node", &outside).metadata.response_code, ResponseCode::ServFail);
    let took = asked.elapsed();
    assert!((Duration::from_millis(1900)..Duration::from_millis(3500)).contains(&took), "{took:?}");
    drop(silent);
    let web = question("web.default.svc.cluster.local.", RecordType::A);
    assert_eq!(ask_udp(&lab, "node", &web).metadata.response_code, ResponseCode::NoError);
}

#[test]
fn before_the_services_are_known_nothing_is_said_about_them() {
    let lab = Lab::with_node();
    let _dns = start(&lab, None, "");
    let web = question("web.default.svc.cluster.local.", RecordType::A);
    assert_eq!(ask_udp(&lab, "node", &web).metadata.response_code, ResponseCode::ServFail);
}

#[test]
fn nonsense_gets_a_format_error_or_silence_and_hurts_nobody() {
    let lab = Lab::with_node();
    let _dns = start(&lab, Some(WORLD), "");
    let codes = lab.inside("node", || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(DNS).unwrap();
        let ask = |bytes: &[u8]| {
            socket.send(bytes).unwrap();
            let mut buffer = [0; 512];
            let length = socket.recv(&mut buffer).unwrap();
            Message::from_vec(&buffer[..length]).unwrap().metadata.response_code
        };
        socket.send(b"short").unwrap();
        socket
            .send(
                &question("web.default.svc.cluster.local.", RecordType::A).into_response().to_vec().unwrap(),
            )
            .unwrap();
        let cut = &question("web.default.svc.cluster.local.", RecordType::A).to_vec().unwrap()[..20];
        [ask(cut), ask(&question("cluster.local.", RecordType::AXFR).to_vec().unwrap())]
    });
    assert_eq!(codes, [ResponseCode::FormErr, ResponseCode::Refused]);
}
