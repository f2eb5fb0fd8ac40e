//! What the runtime is told about a pod as a whole.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec, SeccompProfile};

use super::{Node, resources};
use crate::runtime::{label, proto};

pub(super) fn is_true(flag: Option<bool>) -> bool {
    flag == Some(true)
}

pub(super) fn labels(pod: &Pod) -> HashMap<String, String> {
    let meta = &pod.metadata;
    let of = |value: &Option<String>| value.clone().unwrap_or_default();
    HashMap::from([
        (label::POD_NAME.to_owned(), of(&meta.name)),
        (label::POD_NAMESPACE.to_owned(), of(&meta.namespace)),
        (label::POD_UID.to_owned(), of(&meta.uid)),
    ])
}

/// Where the logs of a pod lie: namespace, name and uid, as tools that read node logs expect it.
pub(crate) fn log_directory(node: &Node, namespace: &str, name: &str, uid: &str) -> std::path::PathBuf {
    node.logs_dir.join(format!("{namespace}_{name}_{uid}"))
}

pub(super) fn config(pod: &Pod, spec: &PodSpec, node: &Node, attempt: u32) -> proto::PodSandboxConfig {
    let meta = &pod.metadata;
    let (name, namespace, uid) = (
        meta.name.clone().unwrap_or_default(),
        meta.namespace.clone().unwrap_or_default(),
        meta.uid.clone().unwrap_or_default(),
    );
    let log_directory = log_directory(node, &namespace, &name, &uid).display().to_string();
    proto::PodSandboxConfig {
        hostname: hostname(spec, &name, node),
        log_directory,
        dns_config: Some(dns(spec, &namespace, node)),
        port_mappings: ports(spec),
        labels: labels(pod),
        annotations: meta.annotations.clone().unwrap_or_default().into_iter().collect(),
        linux: Some(linux(spec, node, &uid)),
        metadata: Some(proto::PodSandboxMetadata { name, uid, namespace, attempt }),
    }
}

/// A host name has at most 63 characters and does not end in a dash or dot.
fn hostname(spec: &PodSpec, name: &str, node: &Node) -> String {
    if is_true(spec.host_network) {
        return node.name.clone();
    }
    let full = spec.hostname.as_deref().unwrap_or(name);
    full.chars().take(63).collect::<String>().trim_end_matches(['-', '.']).to_owned()
}

fn dns(spec: &PodSpec, namespace: &str, node: &Node) -> proto::DnsConfig {
    let host = || node.host_dns.clone();
    let domain = &node.cluster_domain;
    let cluster = || proto::DnsConfig {
        servers: node.cluster_dns.clone(),
        searches: [format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()]
            .into_iter()
            .chain(node.host_dns.searches.iter().cloned())
            .collect(),
        options: vec!["ndots:5".to_owned()],
    };
    let inside = !node.cluster_dns.is_empty();
    let mut dns = match spec.dns_policy.as_deref() {
        Some("None") => proto::DnsConfig::default(),
        Some("ClusterFirstWithHostNet") if inside => cluster(),
        Some("Default") => host(),
        _ if inside && !is_true(spec.host_network) => cluster(),
        _ => host(),
    };
    if let Some(own) = &spec.dns_config {
        dns.servers.extend(own.nameservers.iter().flatten().cloned());
        dns.searches.extend(own.searches.iter().flatten().cloned());
        dns.options.extend(own.options.iter().flatten().filter_map(|option| {
            let name = option.name.clone()?;
            Some(option.value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}:{value}")))
        }));
    }
    dns
}

fn ports(spec: &PodSpec) -> Vec<proto::PortMapping> {
    let all = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    let mapped =
        all.filter(|port| port.host_port.is_some_and(|port| port > 0) && !is_true(spec.host_network));
    mapped
        .map(|port| proto::PortMapping {
            protocol: match port.protocol.as_deref() {
                Some("UDP") => proto::Protocol::Udp.into(),
                Some("SCTP") => proto::Protocol::Sctp.into(),
                _ => proto::Protocol::Tcp.into(),
            },
            container_port: port.container_port,
            host_port: port.host_port.unwrap_or_default(),
            host_ip: port.host_ip.clone().unwrap_or_default(),
        })
        .collect()
}

pub(super) fn namespaces(spec: &PodSpec) -> proto::NamespaceOption {
    let mode = |host: Option<bool>, own: proto::NamespaceMode| {
        i32::from(if is_true(host) { proto::NamespaceMode::Node } else { own })
    };
    let process = if is_true(spec.share_process_namespace) {
        proto::NamespaceMode::Pod
    } else {
        proto::NamespaceMode::Container
    };
    proto::NamespaceOption {
        network: mode(spec.host_network, proto::NamespaceMode::Pod),
        pid: mode(spec.host_pid, process),
        ipc: mode(spec.host_ipc, proto::NamespaceMode::Pod),
        ..proto::NamespaceOption::default()
    }
}

pub(super) fn seccomp(profile: Option<&SeccompProfile>) -> proto::SecurityProfile {
    use proto::security_profile::ProfileType;
    let (kind, reference) = match profile.map(|profile| profile.type_.as_str()) {
        Some("RuntimeDefault") => (ProfileType::RuntimeDefault, String::new()),
        Some("Localhost") => (
            ProfileType::Localhost,
            profile.and_then(|profile| profile.localhost_profile.clone()).unwrap_or_default(),
        ),
        _ => (ProfileType::Unconfined, String::new()),
    };
    proto::SecurityProfile { profile_type: kind.into(), localhost_ref: reference }
}

fn linux(spec: &PodSpec, node: &Node, uid: &str) -> proto::LinuxPodSandboxConfig {
    let own = spec.security_context.clone().unwrap_or_default();
    let privileged = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let privileged = privileged.filter_map(|c| c.security_context.as_ref()?.privileged).any(|flag| flag);
    let default = SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None };
    proto::LinuxPodSandboxConfig {
        cgroup_parent: node.cgroups.of_pod(resources::qos(spec), uid),
        sysctls: own.sysctls.into_iter().flatten().map(|sysctl| (sysctl.name, sysctl.value)).collect(),
        security_context: Some(proto::LinuxSandboxSecurityContext {
            namespace_options: Some(namespaces(spec)),
            run_as_user: own.run_as_user.map(|value| proto::Int64Value { value }),
            run_as_group: own.run_as_user.and(own.run_as_group).map(|value| proto::Int64Value { value }),
            supplemental_groups: own
                .fs_group
                .into_iter()
                .chain(own.supplemental_groups.into_iter().flatten())
                .collect(),
            privileged,
            // The pause program needs no system call outside the default list.
            seccomp: (!privileged).then(|| seccomp(Some(&default))),
            ..proto::LinuxSandboxSecurityContext::default()
        }),
        ..proto::LinuxPodSandboxConfig::default()
    }
}
