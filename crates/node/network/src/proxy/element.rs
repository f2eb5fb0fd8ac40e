//! The elements of the table's maps and sets, as one ordered map: a difference of two such maps is a transaction.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::view::{Affinity, Protocol};

/// Address, protocol and port of a Service as clients dial it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Front {
    pub address: Ipv4Addr,
    pub protocol: Protocol,
    pub port: u16,
}

/// A port on every address of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodePort {
    pub protocol: Protocol,
    pub port: u16,
}

/// Whether the endpoint sees the client's address or this node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    Kept,
    /// The way back must lead through this node: the client is outside, the endpoint may be on another node.
    Masqueraded,
}

/// How many buckets a connection is thrown into. Every endpoint owns at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Buckets {
    One,
    B16,
    B64,
    B256,
    B1024,
}

impl Buckets {
    pub const ALL: [Self; 5] = [Self::One, Self::B16, Self::B64, Self::B256, Self::B1024];

    /// Enough that the shares of `endpoints` differ by at most a third up to 5 and by at most a half up to 8
    /// endpoints, and the like above: from 8 endpoints on a bucket count holds up to a quarter as many.
    pub fn for_endpoints(endpoints: usize) -> Self {
        match endpoints {
            0 | 1 => Self::One,
            2..=8 => Self::B16,
            9..=32 => Self::B64,
            33..=128 => Self::B256,
            129.. => Self::B1024,
        }
    }

    pub fn count(self) -> u16 {
        match self {
            Self::One => 1,
            Self::B16 => 16,
            Self::B64 => 64,
            Self::B256 => 256,
            Self::B1024 => 1024,
        }
    }
}

/// What happens to a new connection: the name of a chain, in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Way {
    pub affinity: Affinity,
    pub source: Source,
    pub buckets: Buckets,
}

impl Way {
    /// Every way there can be; each has a chain in the table.
    pub fn all() -> impl Iterator<Item = Self> {
        Buckets::ALL.into_iter().flat_map(|buckets| {
            [Affinity::None, Affinity::ClientIP].into_iter().flat_map(move |affinity| {
                [Source::Kept, Source::Masqueraded].into_iter().map(move |source| Self {
                    affinity,
                    source,
                    buckets,
                })
            })
        })
    }
}

/// The key of an element; the variant says in which map it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Front(Front),
    FrontBucket(Front, Source, u16),
    NodePort(NodePort),
    NodePortBucket(NodePort, Source, u16),
    /// A pod here that may be sent to itself.
    Hairpin(Ipv4Addr),
}

/// What an element leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    Way(Way),
    Target(SocketAddrV4),
    Present,
}

/// All elements of the table.
pub type Elements = BTreeMap<Key, Value>;

/// The elements that leave and enter in one transaction. A changed element is in both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub delete: Elements,
    pub add: Elements,
}

impl Change {
    /// The least change that leads from `applied` to `desired`.
    pub fn between(applied: &Elements, desired: &Elements) -> Self {
        let only_in = |one: &Elements, other: &Elements| {
            one.iter().filter(|(key, value)| other.get(key) != Some(value)).map(|(k, v)| (*k, *v)).collect()
        };
        Self { delete: only_in(applied, desired), add: only_in(desired, applied) }
    }

    pub fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.add.is_empty()
    }
}
