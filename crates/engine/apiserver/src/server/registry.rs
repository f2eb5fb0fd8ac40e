//! What is served: built-in kinds and, from the moment they are stored, custom resources.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use muster_schema::{Catalog, Kind, Resource, Scope};
use muster_store::{Entry, Revision};
use serde_json::Value;

use crate::discovery::Documents;
use crate::extend::custom;
use crate::object::{FieldColumn, Object, Seen, View, built_in_columns, stamp};
use crate::rest::convert;
use crate::status::About;

pub(super) const FOLLOWED: &[&str] = &[custom::RESOURCE];

/// Where a kind comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Part of the API itself.
    BuiltIn,
    /// Defined by a CustomResourceDefinition.
    Custom,
}

/// A kind of objects that can be stored and served.
#[derive(Debug)]
pub(crate) struct Served {
    /// Its description.
    pub(crate) kind: Kind,
    /// Its name in the store.
    pub(crate) resource: Arc<str>,
    /// How its documents begin.
    pub(crate) stamp: Arc<str>,
    /// Its field selectors.
    pub(crate) columns: Vec<FieldColumn>,
    /// Where it comes from.
    pub(crate) origin: Origin,
    /// Objects written before this lack defaults of the schema.
    pub(crate) since: Revision,
}

impl Served {
    pub(crate) fn new(kind: Kind, origin: Origin, columns: Vec<FieldColumn>) -> Self {
        let resource = kind.resource().into();
        let stamp = stamp(&kind.gvk.api_version(), &kind.gvk.kind);
        Self { kind, resource, stamp, columns, origin, since: Revision::ZERO }
    }

    /// The resource, for refusals.
    pub(crate) fn about(&self) -> About<'_> {
        About { group: &self.kind.gvk.group, resource: &self.kind.plural }
    }

    /// The kind, for refusals about fields.
    pub(crate) fn about_kind(&self) -> About<'_> {
        About { group: &self.kind.gvk.group, resource: &self.kind.gvk.kind }
    }

    pub(crate) fn namespaced(&self) -> bool {
        self.kind.scope == Scope::Namespaced
    }

    /// Whether what is stored has another form than what is served: another version, or one from before the
    /// definition's present schema, whose defaults it lacks.
    pub(crate) fn converts(&self, entry: &Entry<Object>) -> bool {
        convert::is_needed(self) || entry.revision < self.since
    }

    /// A stored object as a document of this version.
    pub(crate) fn document(&self, entry: &Entry<Object>) -> Value {
        self.document_at(entry, entry.revision.get())
    }

    /// The same under another revision: that of a deletion, for instance.
    pub(crate) fn document_at(&self, entry: &Entry<Object>, revision: u64) -> Value {
        let document = entry.value.document(&self.stamp, revision);
        let mut document = convert::to_served(self, document);
        if entry.revision < self.since && self.origin == Origin::Custom {
            crate::rest::codec::default(self, &mut document);
        }
        document
    }
}

/// Group, version and plural name.
type Path = (String, String, String);

/// Everything that is served.
#[derive(Clone)]
pub(crate) struct Registry {
    served: HashMap<Path, Arc<Served>>,
    resources: BTreeMap<String, Vec<Resource>>,
    custom: BTreeMap<String, Vec<Path>>,
    generations: BTreeMap<String, (i64, Revision)>,
    order: Vec<String>,
    /// Group versions that other servers serve.
    aggregated: BTreeSet<String>,
    documents: Arc<Documents>,
}

impl Registry {
    /// The built-in kinds.
    pub(crate) fn builtin() -> Self {
        let catalog = Catalog::builtin();
        let mut registry = Self {
            served: HashMap::new(),
            resources: BTreeMap::new(),
            custom: BTreeMap::new(),
            generations: BTreeMap::new(),
            order: Vec::new(),
            aggregated: BTreeSet::new(),
            documents: Arc::default(),
        };
        for resource in catalog.resources().iter() {
            if !registry.order.contains(&resource.group_version) {
                registry.order.push(resource.group_version.clone());
            }
            registry.resources.entry(resource.group_version.clone()).or_default().push(resource.clone());
        }
        for kind in catalog.kinds().filter(|kind| registry.has(kind)).cloned().collect::<Vec<_>>() {
            let store_name =
                if kind.gvk.group == "events.k8s.io" { "events".to_owned() } else { kind.resource() };
            let columns = built_in_columns(&store_name).to_vec();
            let mut served = Served::new(kind, Origin::BuiltIn, columns);
            served.resource = store_name.into();
            registry.insert(Arc::new(served));
        }
        registry
    }

    /// The same, with what other servers serve besides: for discovery.
    pub(crate) fn with_aggregated(&self, found: &BTreeMap<String, Vec<Resource>>) -> Self {
        let mut out = self.clone();
        for (group_version, resources) in found {
            if !out.order.contains(group_version) {
                out.order.push(group_version.clone());
            }
            out.resources.insert(group_version.clone(), resources.clone());
            out.aggregated.insert(group_version.clone());
        }
        out.documents = Arc::default();
        out
    }

    /// Whether another server serves a group version.
    pub(crate) fn is_aggregated(&self, group_version: &str) -> bool {
        self.aggregated.contains(group_version)
    }

    fn has(&self, kind: &Kind) -> bool {
        let list = self.resources.get(&kind.gvk.api_version());
        list.is_some_and(|list| list.iter().any(|resource| resource.name == kind.plural))
    }

    fn insert(&mut self, served: Arc<Served>) -> Path {
        let gvk = &served.kind.gvk;
        let path = (gvk.group.clone(), gvk.version.clone(), served.kind.plural.clone());
        self.served.insert(path.clone(), served);
        path
    }

    /// The kind behind a path.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Served>> {
        self.served.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// The discovery entry of a resource (`pods`) or subresource (`pods/log`).
    pub(crate) fn resource(&self, group_version: &str, name: &str) -> Option<&Resource> {
        self.resources.get(group_version)?.iter().find(|resource| resource.name == name)
    }

    /// Every group and version with its resources, in the order of discovery.
    pub(crate) fn group_versions(&self) -> impl Iterator<Item = (&str, &[Resource])> {
        self.order.iter().filter_map(|name| Some((name.as_str(), self.resources.get(name)?.as_slice())))
    }

    /// The kinds of a group and version.
    pub(crate) fn kinds(&self, group_version: &str) -> Vec<Arc<Served>> {
        let mut kinds: Vec<_> =
            self.served.values().filter(|one| one.kind.gvk.api_version() == group_version).cloned().collect();
        kinds.sort_by(|a, b| a.kind.plural.cmp(&b.kind.plural));
        kinds
    }

    /// Every kind that is stored.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.served.values()
    }

    /// The rendered discovery and OpenAPI documents of this state.
    pub(crate) fn documents(&self) -> &Documents {
        &self.documents
    }

    fn drop_custom(&mut self, name: &str) {
        for path in self.custom.remove(name).unwrap_or_default() {
            self.served.remove(&path);
            let group_version = format!("{}/{}", path.0, path.1);
            let plural = path.2;
            if let Some(list) = self.resources.get_mut(&group_version) {
                list.retain(|one| one.name.split('/').next() != Some(plural.as_str()));
                if list.is_empty() {
                    self.resources.remove(&group_version);
                    self.order.retain(|one| *one != group_version);
                }
            }
        }
    }

    /// The revision at which a definition got its present schema: a new status alone does not count.
    fn since(&mut self, entry: &Entry<Object>) -> Revision {
        let generation = entry.value.header().generation;
        let known = self.generations.get(&*entry.key.name).filter(|(known, _)| *known == generation);
        let since = known.map_or(entry.revision, |(_, since)| *since);
        self.generations.insert(entry.key.name.to_string(), (generation, since));
        since
    }

    fn add_custom(&mut self, name: &str, document: &Value, since: Revision) {
        for (mut served, resources) in custom::serve(document) {
            for resource in resources {
                if !self.order.contains(&resource.group_version) {
                    self.order.push(resource.group_version.clone());
                }
                self.resources.entry(resource.group_version.clone()).or_default().push(resource);
            }
            served.since = since;
            let path = self.insert(Arc::new(served));
            self.custom.entry(name.to_owned()).or_default().push(path);
        }
    }
}

impl View for Registry {
    fn apply(&mut self, seen: Seen<'_>) {
        match seen {
            Seen::Put(entry) => {
                let since = self.since(entry);
                self.drop_custom(&entry.key.name);
                let document = entry.value.stored_document(entry.revision.get());
                self.add_custom(&entry.key.name, &document, since);
            }
            Seen::Gone(entry) => {
                self.generations.remove(&*entry.key.name);
                self.drop_custom(&entry.key.name);
            }
        }
    }

    fn settle(&mut self) {
        self.documents = Arc::default();
    }
}
