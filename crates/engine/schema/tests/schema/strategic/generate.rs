//! Objects and strategic merge patches drawn from a type, so that both touch the same few fields.

use muster_schema::{Field, NodeId, Scalar, Schema, Shape};
use serde_json::{Map, Value, json};

const DEPTH_MAX: u32 = 7;

pub(super) struct Generator {
    state: u64,
    /// Decides which fields of a type a case uses.
    seed: u64,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1, seed }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// The fields of a type that this case uses: those that lead to merges, and a few others.
    fn fields<'a>(&self, schema: &'a Schema) -> Vec<(&'a str, &'a Field)> {
        let Shape::Object { fields, .. } = &schema.node().shape else { return Vec::new() };
        let picked = |name: &str| {
            let hash = name.bytes().fold(self.seed.wrapping_mul(31), |hash, byte| {
                hash.wrapping_mul(1_099_511_628_211).wrapping_add(u64::from(byte))
            });
            (hash >> 20) % fields.len() as u64
        };
        let wanted = |name: &str, field: &Field| {
            let leads = ["spec", "template", "metadata", "status"].contains(&name);
            let chance = if field.patch.merge || field.patch.retain_keys { 6 } else { 3 };
            leads || picked(name) < chance
        };
        fields
            .iter()
            .map(|(name, field)| (&**name, field))
            .filter(|(name, field)| wanted(name, field))
            .collect()
    }

    pub(super) fn object(&mut self, schema: &Schema) -> Value {
        self.value(schema, 0)
    }

    fn value(&mut self, schema: &Schema, depth: u32) -> Value {
        match &schema.node().shape {
            Shape::Object { .. } => {
                let mut map = Map::new();
                for (name, field) in self.fields(schema) {
                    if depth < DEPTH_MAX && self.percent(75) {
                        map.insert(name.to_owned(), self.field_value(schema, field, depth));
                    }
                }
                Value::Object(map)
            }
            Shape::Map { values, .. } => self.map(schema, *values, depth),
            Shape::List { items, .. } => {
                let count = self.below(3);
                (0..count).map(|_| self.value(&schema.sub(*items), depth + 1)).collect()
            }
            Shape::Any => json!("raw"),
            Shape::Scalar(scalar) => self.scalar(*scalar),
        }
    }

    fn map(&mut self, schema: &Schema, values: NodeId, depth: u32) -> Value {
        let count = self.below(3);
        let entries =
            (0..count).map(|_| (self.letter().to_owned(), self.value(&schema.sub(values), depth + 1)));
        Value::Object(entries.collect())
    }

    fn scalar(&mut self, scalar: Scalar) -> Value {
        match scalar {
            Scalar::String(_) | Scalar::Quantity => self.letter().into(),
            Scalar::Integer | Scalar::IntOrString => (self.below(4) + 1).into(),
            Scalar::Number => 1.5.into(),
            Scalar::Boolean => self.percent(50).into(),
        }
    }

    fn letter(&mut self) -> &'static str {
        ["a", "b", "c", "d"][self.below(4) as usize]
    }

    fn field_value(&mut self, schema: &Schema, field: &Field, depth: u32) -> Value {
        let inner = schema.sub(field.node);
        let Shape::List { items, .. } = &inner.node().shape else { return self.value(&inner, depth + 1) };
        if !field.patch.merge {
            return self.value(&inner, depth + 1);
        }
        let items = inner.sub(*items);
        let ids = self.identities(&items, field);
        ids.into_iter()
            .map(|id| {
                let mut item = self.value(&items, depth + 2);
                set_key(&mut item, field, id);
                item
            })
            .collect()
    }

    /// Distinct keys (or scalars) for the items of a merged list.
    fn identities(&mut self, items: &Schema, field: &Field) -> Vec<Value> {
        let kind = match (&items.node().shape, &field.patch.merge_key) {
            (Shape::Object { fields, .. }, Some(key)) => match items.at(fields[key].node).shape {
                Shape::Scalar(scalar) => scalar,
                Shape::Any | Shape::List { .. } | Shape::Map { .. } | Shape::Object { .. } => {
                    panic!("{key} is no scalar")
                }
            },
            (Shape::Scalar(scalar), _) => *scalar,
            (other, key) => panic!("a merged list of {other:?} by {key:?}"),
        };
        let mut ids = Vec::new();
        for _ in 0..self.below(4) {
            let id = self.scalar(kind);
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    pub(super) fn patch(&mut self, schema: &Schema) -> Value {
        self.object_patch(schema, 0, false)
    }

    fn object_patch(&mut self, schema: &Schema, depth: u32, retains: bool) -> Value {
        let mut map = Map::new();
        for (name, field) in self.fields(schema) {
            if depth >= DEPTH_MAX || !self.percent(60) {
                continue;
            }
            if self.percent(12) {
                map.insert(name.to_owned(), Value::Null);
            } else {
                self.field_patch(schema, name, field, depth, &mut map);
            }
        }
        if retains && self.percent(40) {
            let keys: Vec<&String> = map.keys().filter(|key| !key.starts_with('$')).collect();
            let keys = json!(keys);
            map.insert("$retainKeys".to_owned(), keys);
        } else if depth > 0 && self.percent(4) {
            map.insert("$patch".to_owned(), ["replace", "delete"][self.below(2) as usize].into());
        }
        Value::Object(map)
    }

    fn field_patch(
        &mut self,
        schema: &Schema,
        name: &str,
        field: &Field,
        depth: u32,
        map: &mut Map<String, Value>,
    ) {
        let inner = schema.sub(field.node);
        let change = match &inner.node().shape {
            Shape::Object { .. } => self.object_patch(&inner, depth + 1, field.patch.retain_keys),
            Shape::List { items, .. } if field.patch.merge => {
                return self.list_patch(&inner.sub(*items), name, field, depth, map);
            }
            Shape::Map { .. } if self.percent(10) => json!({"$patch": "replace", "a": "b"}),
            Shape::List { .. } | Shape::Map { .. } | Shape::Any | Shape::Scalar(_) => {
                self.value(&inner, depth + 1)
            }
        };
        map.insert(name.to_owned(), change);
    }

    fn list_patch(
        &mut self,
        items: &Schema,
        name: &str,
        field: &Field,
        depth: u32,
        map: &mut Map<String, Value>,
    ) {
        let ids = self.identities(items, field);
        if field.patch.merge_key.is_none() && self.percent(40) {
            map.insert(format!("$deleteFromPrimitiveList/{name}"), ids.into());
            return;
        }
        if self.percent(40) {
            let order = self.order(items, field, &ids);
            map.insert(format!("$setElementOrder/{name}"), order);
        }
        let mut list: Vec<Value> = Vec::new();
        for id in ids {
            let mut item = if self.percent(15) && field.patch.merge_key.is_some() {
                json!({"$patch": "delete"})
            } else {
                self.object_patch(items, depth + 2, field.patch.retain_keys)
            };
            if let (Some(_), Some(object)) = (&field.patch.merge_key, item.as_object_mut()) {
                object.remove("$retainKeys");
            }
            set_key(&mut item, field, id);
            list.push(item);
        }
        if field.patch.merge_key.is_some() && self.percent(5) {
            list.push(json!({"$patch": "replace"}));
        }
        if self.percent(85) {
            map.insert(name.to_owned(), list.into());
        }
    }

    /// An order that names all items of the patch, in their order, and some others between them.
    fn order(&mut self, items: &Schema, field: &Field, ids: &[Value]) -> Value {
        let mut order: Vec<Value> = ids.to_vec();
        for other in self.identities(items, field) {
            if !order.contains(&other) {
                let at = self.below(order.len() as u64 + 1) as usize;
                order.insert(at, other);
            }
        }
        match &field.patch.merge_key {
            Some(key) => order.into_iter().map(|id| json!({ &**key: id })).collect(),
            None => order.into(),
        }
    }
}

fn set_key(item: &mut Value, field: &Field, id: Value) {
    match &field.patch.merge_key {
        Some(key) => item[&**key] = id,
        None => *item = id,
    }
}
