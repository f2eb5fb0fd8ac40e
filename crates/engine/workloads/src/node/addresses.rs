//! One range of pod addresses per node, out of the cluster's range.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::view::Node;

/// The cluster's range and how large each node's part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    first: u32,
    prefix: u8,
    node_prefix: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a usable range of pod addresses: write an IPv4 network such as 10.244.0.0/16, not smaller than /{node_prefix}"
)]
pub struct RangeError {
    pub text: String,
    pub node_prefix: u8,
}

impl Range {
    /// # Errors
    /// A text that is no IPv4 network, or one smaller than a single node's part.
    pub fn parse(text: &str, node_prefix: u8) -> Result<Range, RangeError> {
        let error = || RangeError { text: text.to_owned(), node_prefix };
        let (address, prefix) = split(text).ok_or_else(error)?;
        if prefix > node_prefix || node_prefix > 30 {
            return Err(error());
        }
        let mask = u32::MAX.checked_shl(u32::from(32 - prefix)).unwrap_or(0);
        Ok(Range { first: u32::from(address) & mask, prefix, node_prefix })
    }

    fn count(self) -> u64 {
        1 << (self.node_prefix - self.prefix)
    }

    fn part(self, index: u64) -> Option<String> {
        let size = 1_u64 << (32 - self.node_prefix);
        let first = u32::try_from(u64::from(self.first) + index * size).ok()?;
        Some(format!("{}/{}", Ipv4Addr::from(first), self.node_prefix))
    }

    /// The parts that another network touches.
    fn parts_of(self, text: &str) -> impl Iterator<Item = u64> {
        let size = 1_u64 << (32 - self.node_prefix);
        let bounds = split(text).map(|(address, prefix)| {
            let first = u64::from(u32::from(address));
            let last = first + (1_u64 << (32 - prefix)) - 1;
            let from = first.saturating_sub(u64::from(self.first)) / size;
            let outside = last < u64::from(self.first);
            let to = last.saturating_sub(u64::from(self.first)) / size;
            if outside { (1, 0) } else { (from, to.min(self.count() - 1)) }
        });
        let (from, to) = bounds.unwrap_or((1, 0));
        from..=to
    }
}

fn split(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
    Some((address.parse().ok()?, prefix))
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Node and its range.
    pub assign: Vec<(String, String)>,
    /// Nodes for which no range is left.
    pub exhausted: Vec<String>,
}

/// A range once given stays; new nodes get the lowest free one, oldest node first.
pub fn plan(nodes: &[&Node], range: Range) -> Plan {
    let has = |node: &&Node| node.spec.pod_cidr.as_deref().is_some_and(|cidr| !cidr.is_empty());
    let mut taken: BTreeSet<u64> = BTreeSet::new();
    for node in nodes.iter().filter(|node| has(node)) {
        let all = node.spec.pod_cidr.iter().chain(&node.spec.pod_cidrs);
        taken.extend(all.flat_map(|cidr| range.parts_of(cidr)));
    }
    let mut waiting: Vec<&Node> = nodes.iter().copied().filter(|n| !has(n) && !n.is_leaving()).collect();
    waiting.sort_by_key(|node| (node.created(), node.name().to_owned()));
    let mut plan = Plan::default();
    let mut next = 0;
    for node in waiting {
        while taken.contains(&next) {
            next += 1;
        }
        match range.part(next).filter(|_| next < range.count()) {
            Some(part) => plan.assign.push((node.name().to_owned(), part)),
            None => plan.exhausted.push(node.name().to_owned()),
        }
        next += 1;
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str, cidr: &str) -> Node {
        let spec = if cidr.is_empty() { json!({}) } else { json!({"podCIDR": cidr, "podCIDRs": [cidr]}) };
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
    }

    #[test]
    fn gives_the_lowest_free_range_and_says_who_goes_without() {
        let nodes = [node("a", "10.1.1.0/24"), node("b", ""), node("c", ""), node("d", ""), node("e", "")];
        let plan = plan(&nodes.iter().collect::<Vec<_>>(), Range::parse("10.1.0.0/22", 24).unwrap());
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            plan.assign,
            [pair("b", "10.1.0.0/24"), pair("c", "10.1.2.0/24"), pair("d", "10.1.3.0/24")]
        );
        assert_eq!(plan.exhausted, ["e"]);
    }

    #[test]
    fn a_foreign_range_blocks_what_it_overlaps_and_nothing_else() {
        let nodes = [node("a", "10.1.0.0/23"), node("b", "192.168.0.0/24"), node("c", "")];
        let plan = plan(&nodes.iter().collect::<Vec<_>>(), Range::parse("10.1.0.0/16", 24).unwrap());
        assert_eq!(plan.assign, [("c".to_owned(), "10.1.2.0/24".to_owned())]);
    }

    #[test]
    fn a_range_that_cannot_be_used_is_refused_with_an_example() {
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/25", "fd00::/48", "x/16"] {
            let error = Range::parse(text, 24).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("10.244.0.0/16"), "{error}");
        }
    }
}
