//! Content negotiation: which form the answer takes, and in which format a body comes.

use crate::status::Refusal;

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
}

/// What of an object is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Projection {
    /// All of it.
    Whole,
    /// Its metadata (`as=PartialObjectMetadata` or `…List`).
    Metadata,
    /// Printed columns (`as=Table`).
    Table,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectFormat {
    /// How it is written.
    pub(crate) syntax: Syntax,
    /// What is written.
    pub(crate) projection: Projection,
}

/// The format of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFormat {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Kubernetes' framed protobuf.
    Protobuf,
}

const OFFERED: &[&str] = &["application/json", "application/yaml"];

/// The `Accept` header, in order of preference.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accept(Vec<Range>);

/// A media type with its parameters.
type Range = (String, Vec<(String, String)>);

impl Accept {
    /// Reads the header; absent accepts anything.
    pub(crate) fn parse(header: Option<&str>) -> Self {
        let mut ranges: Vec<(u16, Range)> = Vec::new();
        for range in header.unwrap_or("").split(',').map(str::trim).filter(|range| !range.is_empty()) {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or("").to_ascii_lowercase();
            let pairs: Vec<(String, String)> = parts
                .filter_map(|part| part.split_once('='))
                .map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let quality = pairs.iter().find(|(key, _)| key == "q").map_or(Ok(1.0), |(_, q)| q.parse::<f32>());
            let weight = quality.map_or(0, |q| {
                if q >= 1.0 {
                    1000
                } else if q > 0.0 {
                    (q * 1000.0) as u16
                } else {
                    0
                }
            });
            if weight > 0 {
                ranges.push((weight, (media, pairs)));
            }
        }
        ranges.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        Self(ranges.into_iter().map(|(_, range)| range).collect())
    }

    /// The best form we have for objects and lists.
    pub(crate) fn object(&self) -> Result<ObjectFormat, Refusal> {
        if self.0.is_empty() {
            return Ok(ObjectFormat { syntax: Syntax::Json, projection: Projection::Whole });
        }
        let fits = |(media, pairs): &Range| {
            let syntax = syntax(media)?;
            let param =
                |key: &str| pairs.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str());
            let projection = match (param("as"), param("g"), param("v")) {
                (None, ..) => Projection::Whole,
                (Some("Table"), Some("meta.k8s.io"), Some("v1" | "v1beta1")) => Projection::Table,
                (
                    Some("PartialObjectMetadata" | "PartialObjectMetadataList"),
                    Some("meta.k8s.io"),
                    Some("v1"),
                ) => Projection::Metadata,
                (Some(_), ..) => return None,
            };
            Some(ObjectFormat { syntax, projection })
        };
        self.0.iter().find_map(fits).ok_or_else(|| Refusal::not_acceptable(OFFERED))
    }

    /// Refuses who wants nothing but a table or bare metadata, for answers that have no such form.
    pub(crate) fn whole(&self) -> Result<(), Refusal> {
        let fits =
            |(media, pairs): &Range| syntax(media).is_some() && !pairs.iter().any(|(key, _)| key == "as");
        if self.0.is_empty() || self.0.iter().any(fits) {
            Ok(())
        } else {
            Err(Refusal::not_acceptable(OFFERED))
        }
    }

    /// Whether a media type is asked for by name; for documents with forms of their own.
    pub(crate) fn names(&self, media: &str) -> bool {
        self.0.iter().any(|(found, _)| found == media)
    }

    /// Whether JSON is an answer; it is where the client names nothing.
    pub(crate) fn takes_json(&self) -> bool {
        self.0.is_empty() || self.0.iter().any(|(media, _)| syntax(media) == Some(Syntax::Json))
    }

    /// Whether aggregated discovery is preferred to the plain one, and in which version.
    pub(crate) fn aggregated_discovery(&self) -> Option<&str> {
        let (_, pairs) = self.0.iter().find(|(media, _)| syntax(media).is_some())?;
        let param = |key: &str| pairs.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str());
        let wanted =
            param("g") == Some("apidiscovery.k8s.io") && param("as") == Some("APIGroupDiscoveryList");
        param("v").filter(|version| wanted && ["v2", "v2beta1"].contains(version))
    }

    /// The syntax of answers that have only one form (Status, reviews, discovery).
    pub(crate) fn syntax(&self) -> Syntax {
        self.0.iter().find_map(|(media, _)| syntax(media)).unwrap_or(Syntax::Json)
    }
}

fn syntax(media: &str) -> Option<Syntax> {
    match media {
        "application/json" | "*/*" | "application/*" => Some(Syntax::Json),
        "application/yaml" => Some(Syntax::Yaml),
        _ => None,
    }
}

/// The format of a body by its `Content-Type`; absent means JSON.
pub(crate) fn body_format(header: Option<&str>) -> Result<BodyFormat, Refusal> {
    let media = header.unwrap_or("").split(';').next().unwrap_or("").trim();
    match media {
        "" | "application/json" => Ok(BodyFormat::Json),
        "application/yaml" => Ok(BodyFormat::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(BodyFormat::Protobuf),
        _ => Err(Refusal::unsupported_media_type(&[
            "application/json",
            "application/yaml",
            "application/vnd.kubernetes.protobuf",
        ])),
    }
}
