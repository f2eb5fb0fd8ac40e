//! The environment of a container: values, references, and `$(NAME)` in values, commands and arguments.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, EnvVarSource};

use super::super::field::{self, Facts, FieldError};
use super::super::objects::{Objects, Part, PartError};

#[derive(Debug, thiserror::Error)]
pub(in crate::pod) enum EnvError {
    #[error("env {variable}")]
    Part {
        variable: String,
        #[source]
        source: PartError,
    },
    #[error("env {variable}")]
    Field {
        variable: String,
        #[source]
        source: FieldError,
    },
    #[error("envFrom")]
    From(#[source] PartError),
}

/// Name and value in the order of the specification; a later one wins.
pub(super) fn resolve(
    container: &Container,
    facts: &Facts<'_>,
    objects: &Objects,
    services: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, EnvError> {
    let mut known = services.clone();
    let mut order: Vec<String> = services.keys().cloned().collect();
    let mut set = |name: String, value: String| {
        if known.insert(name.clone(), value).is_none() {
            order.push(name);
        }
    };
    for source in container.env_from.iter().flatten() {
        from(source, objects).map_err(EnvError::From)?.into_iter().for_each(|(name, value)| set(name, value));
    }
    let mut pairs = BTreeMap::new();
    for variable in container.env.iter().flatten() {
        let known_so_far: BTreeMap<String, String> = pairs.clone();
        let value = value(variable, container, facts, objects, &known_so_far, services)?;
        if let Some(value) = value {
            pairs.insert(variable.name.clone(), value.clone());
            set(variable.name.clone(), value);
        }
    }
    Ok(order.into_iter().map(|name| (name.clone(), known.remove(&name).unwrap_or_default())).collect())
}

fn value(
    variable: &EnvVar,
    container: &Container,
    facts: &Facts<'_>,
    objects: &Objects,
    earlier: &BTreeMap<String, String>,
    services: &BTreeMap<String, String>,
) -> Result<Option<String>, EnvError> {
    let Some(source) = &variable.value_from else {
        let text = variable.value.clone().unwrap_or_default();
        let lookup = |name: &str| earlier.get(name).or_else(|| services.get(name)).cloned();
        return Ok(Some(expand(&text, lookup)));
    };
    let field = |source| EnvError::Field { variable: variable.name.clone(), source };
    let part = |source| EnvError::Part { variable: variable.name.clone(), source };
    let EnvVarSource { config_map_key_ref, field_ref, file_key_ref: _, resource_field_ref, secret_key_ref } =
        source;
    if let Some(reference) = field_ref {
        return facts.field(&reference.field_path).map(Some).map_err(field);
    }
    if let Some(reference) = resource_field_ref {
        return field::resource(container, reference, facts).map(Some).map_err(field);
    }
    if let Some(reference) = config_map_key_ref {
        let wanted =
            Part { name: &reference.name, key: &reference.key, optional: reference.optional == Some(true) };
        return objects.config_map_text(wanted).map_err(part);
    }
    if let Some(reference) = secret_key_ref {
        let wanted =
            Part { name: &reference.name, key: &reference.key, optional: reference.optional == Some(true) };
        return objects.secret_text(wanted).map_err(part);
    }
    Ok(None)
}

fn from(source: &EnvFromSource, objects: &Objects) -> Result<Vec<(String, String)>, PartError> {
    let prefix = source.prefix.clone().unwrap_or_default();
    let mut pairs = Vec::new();
    if let Some(map) = &source.config_map_ref {
        pairs.extend(objects.config_map_all(&map.name, map.optional == Some(true))?);
    }
    if let Some(secret) = &source.secret_ref {
        pairs.extend(objects.secret_all(&secret.name, secret.optional == Some(true))?);
    }
    Ok(pairs.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)).collect())
}

/// `$(NAME)` becomes the value of NAME, `$$` a dollar; an unknown name stays as written.
pub(super) fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix("$(").and_then(|r| r.split_once(')')) {
            match lookup(name) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&rest[..name.len() + 3]),
            }
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_expand_dollars_escape_and_the_unknown_stays() {
        let lookup = |name: &str| (name == "A").then(|| "1".to_owned());
        for (text, expect) in [
            ("$(A)-$(A)", "1-1"),
            ("$$(A)", "$(A)"),
            ("$(B) $A $", "$(B) $A $"),
            ("$(A", "$(A"),
            ("x$$$(A)", "x$1"),
        ] {
            assert_eq!(expand(text, lookup), expect, "{text}");
        }
    }
}
