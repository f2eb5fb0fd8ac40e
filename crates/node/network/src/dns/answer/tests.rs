use super::*;
use crate::world::directory;

const WORLD: &str = "
    service default/web 10.96.0.5 http=80 dns=53/udp
    slice default/web http=8080 10.244.1.2
    service default/db None sql=5432
    slice default/db sql=5433 10.244.1.3#db-0 10.244.2.4#db-1 10.244.2.5!unready
    service default/eager None sql=5432 unready
    slice default/eager sql=5433 10.244.2.9!unready
    service default/outside None name=www.example.com
    service default/inside None name=web.default.svc.cluster.local
    service default/loop None name=loop.default.svc.cluster.local
    service default/empty None 80
";

fn ask(question: &str) -> String {
    let (name, kind) = question.split_once(' ').unwrap();
    let networks = ["10.244.0.0/16".parse().unwrap(), "10.96.0.0/12".parse().unwrap()];
    let zone = Zone::new("cluster.local", "10.96.0.10".parse().unwrap(), networks).unwrap();
    let name = Name::from_ascii(name).unwrap();
    match answer(&zone, &directory(WORLD), &name, kind.parse().unwrap()) {
        Answer::Records { answers, additionals } => {
            let show = |records: Vec<Record>| -> Vec<String> {
                let show = |r: &Record| format!("{} {} {}", r.name, r.record_type(), r.data);
                records.iter().map(show).collect()
            };
            [show(answers), show(additionals)].concat().join("; ")
        }
        Answer::Alias { alias, target } => format!("{}, ask {target}", alias.data),
        other @ (Answer::NoData | Answer::NoName | Answer::Elsewhere) => format!("{other:?}"),
    }
}

fn check(questions: &[(&str, &str)]) {
    for (question, expect) in questions {
        assert_eq!(ask(question), *expect, "{question}");
    }
}

#[test]
fn services_have_their_cluster_address_and_nothing_else() {
    check(&[
        ("web.default.svc.cluster.local. A", "web.default.svc.cluster.local. A 10.96.0.5"),
        ("WEB.Default.svc.Cluster.Local. A", "WEB.Default.svc.Cluster.Local. A 10.96.0.5"),
        ("web.default.svc.cluster.local. AAAA", "NoData"),
        ("web.other.svc.cluster.local. A", "NoName"),
        ("none.default.svc.cluster.local. A", "NoName"),
        ("10-244-1-2.web.default.svc.cluster.local. A", "NoName"),
    ]);
}

#[test]
fn headless_services_lead_to_their_ready_endpoints_by_service_hostname_or_address() {
    check(&[
        (
            "db.default.svc.cluster.local. A",
            "db.default.svc.cluster.local. A 10.244.1.3; db.default.svc.cluster.local. A 10.244.2.4",
        ),
        ("db-1.db.default.svc.cluster.local. A", "db-1.db.default.svc.cluster.local. A 10.244.2.4"),
        ("db-2.db.default.svc.cluster.local. A", "NoName"),
        ("10-244-2-5.db.default.svc.cluster.local. A", "NoName"),
        (
            "10-244-2-9.eager.default.svc.cluster.local. A",
            "10-244-2-9.eager.default.svc.cluster.local. A 10.244.2.9",
        ),
        ("empty.default.svc.cluster.local. A", "NoData"),
    ]);
}

#[test]
fn named_ports_have_srv_records() {
    check(&[
        (
            "_http._tcp.web.default.svc.cluster.local. SRV",
            "_http._tcp.web.default.svc.cluster.local. SRV 0 100 80 web.default.svc.cluster.local.; \
             web.default.svc.cluster.local. A 10.96.0.5",
        ),
        (
            "_sql._tcp.db.default.svc.cluster.local. SRV",
            "_sql._tcp.db.default.svc.cluster.local. SRV 0 100 5433 db-0.db.default.svc.cluster.local.; \
             _sql._tcp.db.default.svc.cluster.local. SRV 0 100 5433 db-1.db.default.svc.cluster.local.; \
             db-0.db.default.svc.cluster.local. A 10.244.1.3; db-1.db.default.svc.cluster.local. A 10.244.2.4",
        ),
        ("_http._udp.web.default.svc.cluster.local. SRV", "NoName"),
        ("_http._tcp.web.default.svc.cluster.local. A", "NoData"),
        ("_tcp.web.default.svc.cluster.local. A", "NoData"),
        ("_sctp.web.default.svc.cluster.local. A", "NoName"),
    ]);
}

#[test]
fn addresses_lead_back_to_names_and_foreign_ones_elsewhere() {
    check(&[
        ("5.0.96.10.in-addr.arpa. PTR", "5.0.96.10.in-addr.arpa. PTR web.default.svc.cluster.local."),
        ("4.2.244.10.in-addr.arpa. PTR", "4.2.244.10.in-addr.arpa. PTR db-1.db.default.svc.cluster.local."),
        ("9.9.244.10.in-addr.arpa. PTR", "NoName"),
        ("1.2.0.192.in-addr.arpa. PTR", "Elsewhere"),
        ("5.0.96.10.in-addr.arpa. A", "NoData"),
    ]);
}

#[test]
fn aliases_are_followed_inside_and_handed_on_outside() {
    check(&[
        ("outside.default.svc.cluster.local. A", "www.example.com., ask www.example.com."),
        (
            "inside.default.svc.cluster.local. A",
            "inside.default.svc.cluster.local. CNAME web.default.svc.cluster.local.; \
             web.default.svc.cluster.local. A 10.96.0.5",
        ),
        (
            "loop.default.svc.cluster.local. A",
            "loop.default.svc.cluster.local. CNAME loop.default.svc.cluster.local.",
        ),
    ]);
}

#[test]
fn names_between_exist_without_records_and_the_search_list_ends_early() {
    check(&[
        ("cluster.local. A", "NoData"),
        ("cluster.local. NS", "cluster.local. NS ns.dns.cluster.local."),
        ("ns.dns.cluster.local. A", "ns.dns.cluster.local. A 10.96.0.10"),
        ("svc.cluster.local. A", "NoData"),
        ("default.svc.cluster.local. A", "NoData"),
        ("other.svc.cluster.local. A", "NoName"),
        ("dns-version.cluster.local. TXT", "dns-version.cluster.local. TXT 1.1.0"),
        ("10-244-1-2.default.pod.cluster.local. A", "10-244-1-2.default.pod.cluster.local. A 10.244.1.2"),
        ("web.default.pod.cluster.local. A", "NoName"),
        // What a pod's resolver tries for `www.example.com` with ndots:5.
        ("www.example.com.default.svc.cluster.local. A", "NoName"),
        ("www.example.com.svc.cluster.local. A", "NoName"),
        ("www.example.com.cluster.local. A", "NoName"),
        ("www.example.com. A", "Elsewhere"),
        ("notcluster.local. A", "Elsewhere"),
    ]);
}
