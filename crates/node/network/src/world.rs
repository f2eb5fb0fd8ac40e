//! A picture of Services and endpoints from a few words, for tests.

use std::sync::Arc;

use muster_network::directory::Directory;
use serde_json::{Value, json};

/// Lines of two kinds; words after the address or port are optional:
/// ```text
/// service NS/NAME ADDRESS|None [PORT_NAME=]PORT[/udp][@NODE_PORT] sticky local-in local-out unready ip=EXTERNAL
/// slice NS/NAME [PORT_NAME=]PORT[/udp] ADDRESS[@NODE][!unready|!ending][#HOSTNAME]
/// ```
pub(crate) fn directory(text: &str) -> Directory {
    let (mut services, mut slices) = (Vec::new(), Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "service" => services.push(Arc::new(serde_json::from_value(service(&words[1..])).unwrap())),
            "slice" => {
                slices.push(Arc::new(serde_json::from_value(slice(&words[1..], slices.len())).unwrap()))
            }
            other => panic!("a line begins with service or slice, not {other}"),
        }
    }
    Directory::new(services, slices)
}

fn service(words: &[&str]) -> Value {
    let (namespace, name) = words[0].split_once('/').unwrap();
    let mut spec = json!({ "clusterIP": words[1], "ports": [] });
    for word in &words[2..] {
        match *word {
            "sticky" => spec["sessionAffinity"] = "ClientIP".into(),
            "local-in" => spec["internalTrafficPolicy"] = "Local".into(),
            "local-out" => spec["externalTrafficPolicy"] = "Local".into(),
            "unready" => spec["publishNotReadyAddresses"] = true.into(),
            word if word.starts_with("ip=") => spec["externalIPs"] = json!([&word[3..]]),
            word if word.starts_with("name=") => {
                spec["type"] = "ExternalName".into();
                spec["externalName"] = word[5..].into();
            }
            word => {
                let (port, node_port) = word.split_once('@').unwrap_or((word, "0"));
                let mut port = self::port(port);
                if node_port != "0" {
                    spec["type"] = "NodePort".into();
                    port["nodePort"] = node_port.parse::<u16>().unwrap().into();
                }
                spec["ports"].as_array_mut().unwrap().push(port);
            }
        }
    }
    json!({ "metadata": { "namespace": namespace, "name": name }, "spec": spec })
}

fn slice(words: &[&str], number: usize) -> Value {
    let (namespace, name) = words[0].split_once('/').unwrap();
    let endpoints: Vec<Value> = words[2..].iter().map(|word| endpoint(word)).collect();
    json!({
        "metadata": {
            "namespace": namespace, "name": format!("{name}-{number}"),
            "labels": { "kubernetes.io/service-name": name },
        },
        "addressType": "IPv4", "ports": [port(words[1])], "endpoints": endpoints,
    })
}

fn port(word: &str) -> Value {
    let (name, rest) = word.split_once('=').unwrap_or(("", word));
    let (port, protocol) = rest.split_once('/').unwrap_or((rest, "tcp"));
    json!({ "name": name, "port": port.parse::<u16>().unwrap(), "protocol": protocol.to_uppercase() })
}

fn endpoint(word: &str) -> Value {
    let (word, hostname) = word.split_once('#').map_or((word, None), |(word, host)| (word, Some(host)));
    let (word, state) = word.split_once('!').unwrap_or((word, ""));
    let (address, node) = word.split_once('@').unwrap_or((word, "n1"));
    json!({
        "addresses": [address], "nodeName": node, "hostname": hostname,
        "conditions": { "ready": state.is_empty(), "serving": state == "ending", "terminating": state == "ending" },
    })
}
