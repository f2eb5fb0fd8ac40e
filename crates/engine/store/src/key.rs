//! What names an entry, and the count of writes.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The position of a write in the history of the whole store: strictly rising, never reused, 0 before the first write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// Before the first write.
    pub const ZERO: Self = Self(0);

    /// The revision with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of an entry. Ordered by resource, then namespace, then name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The kind of thing, for example `pods` or `machines.muster.dev`.
    pub resource: Arc<str>,
    /// Empty for what belongs to the whole cluster.
    pub namespace: Arc<str>,
    /// Unique within its resource and namespace.
    pub name: Arc<str>,
}

impl Key {
    /// A key from its parts.
    pub fn new(
        resource: impl Into<Arc<str>>,
        namespace: impl Into<Arc<str>>,
        name: impl Into<Arc<str>>,
    ) -> Self {
        Self { resource: resource.into(), namespace: namespace.into(), name: name.into() }
    }

    pub(crate) fn position(&self) -> Position<'_> {
        Position { namespace: &self.namespace, name: &self.name }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => write!(f, "{}/{}", self.resource, self.name),
            namespace => write!(f, "{}/{namespace}/{}", self.resource, self.name),
        }
    }
}

/// A place in the order of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

impl Position<'_> {
    pub(crate) fn order(&self, key: &Key) -> Ordering {
        self.cmp(&key.position())
    }
}
