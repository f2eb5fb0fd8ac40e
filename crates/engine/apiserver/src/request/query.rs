//! Query parameters, read into values that say what they mean.

use std::collections::BTreeMap;

use super::{FieldSelector, LabelSelector};
use crate::status::Refusal;

/// The decoded query string; the first value of a repeated parameter counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(BTreeMap<String, Vec<String>>);

/// Whether a write is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DryRun {
    /// It is.
    #[default]
    No,
    /// Everything but the write itself is done (`dryRun=All`).
    All,
}

/// What to do about unknown and repeated fields of a body.
pub(crate) type FieldValidation = muster_schema::decode::FieldValidation;

/// How a list's revision is meant (`resourceVersionMatch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// At this revision or a later one.
    NotOlderThan,
    /// At exactly this revision.
    Exact,
}

/// Parameters of list and watch.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListParams {
    /// Which labels.
    pub(crate) labels: LabelSelector,
    /// Which fields.
    pub(crate) fields: FieldSelector,
    /// `resourceVersion`; `None` where absent or empty.
    pub(crate) revision: Option<u64>,
    /// `resourceVersionMatch`.
    pub(crate) revision_match: Option<Match>,
    /// Objects per answer; 0 is all.
    pub(crate) limit: usize,
    /// Where the last answer ended.
    pub(crate) continue_token: Option<String>,
    /// Seconds after which a watch ends.
    pub(crate) timeout_seconds: Option<u64>,
    /// Whether a watch gets bookmarks, and begins with the present state.
    pub(crate) bookmarks: Bookmarks,
    /// `sendInitialEvents`, where it is given: whether the present state comes first.
    pub(crate) initial_events: Option<bool>,
}

/// What a watch gets besides changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Bookmarks {
    /// Changes only.
    #[default]
    None,
    /// A bookmark now and then (`allowWatchBookmarks`).
    Regular,
    /// The present state first, closed by a bookmark (`sendInitialEvents`).
    InitialEvents,
}

/// Delete parameters, from body or query.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteParams {
    /// Seconds a pod has to stop.
    pub(crate) grace_seconds: Option<i64>,
    /// `Background`, `Foreground` or `Orphan`.
    pub(crate) propagation: Option<String>,
    /// Only if the object has this uid.
    pub(crate) uid: Option<String>,
    /// Only if the object is at this revision.
    pub(crate) revision: Option<String>,
    /// Whether it is kept.
    pub(crate) dry_run: DryRun,
}

impl Query {
    /// Reads a raw query string.
    pub(crate) fn parse(raw: Option<&str>) -> Self {
        let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in raw.unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            map.entry(decode(key)).or_default().push(decode(value));
        }
        Self(map)
    }

    /// The first value of a parameter, unless it is empty.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.first().map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a boolean parameter is set, as Go's `strconv.ParseBool` reads it (no value counts as set).
    pub(crate) fn flag(&self, key: &str) -> bool {
        let Some(value) = self.0.get(key).and_then(|values| values.first()) else { return false };
        !["0", "f", "F", "false", "False", "FALSE"].contains(&value.as_str())
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(key) else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Refusal::bad_request(format!("invalid value for query parameter {key}: {text:?}"))),
        }
    }

    /// `dryRun`.
    pub(crate) fn dry_run(&self) -> Result<DryRun, Refusal> {
        dry_run(self.0.get("dryRun").map(Vec::as_slice).unwrap_or_default())
    }

    /// `fieldValidation`, `Warn` where absent.
    pub(crate) fn field_validation(&self) -> Result<FieldValidation, Refusal> {
        match self.text("fieldValidation") {
            None | Some("Warn") => Ok(FieldValidation::Warn),
            Some("Ignore") => Ok(FieldValidation::Ignore),
            Some("Strict") => Ok(FieldValidation::Strict),
            Some(other) => Err(Refusal::bad_request(format!(
                "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }

    /// Parameters of list, watch and deletecollection.
    pub(crate) fn list(&self) -> Result<ListParams, Refusal> {
        let revision_match = match self.text("resourceVersionMatch") {
            None => None,
            Some("Exact") => Some(Match::Exact),
            Some("NotOlderThan") => Some(Match::NotOlderThan),
            Some(other) => {
                return Err(invalid_list(&format!(
                    "resourceVersionMatch: Unsupported value: {other:?}: supported values: \"Exact\", \
                     \"NotOlderThan\""
                )));
            }
        };
        let params = ListParams {
            labels: LabelSelector::parse(self.text("labelSelector").unwrap_or(""))?,
            fields: FieldSelector::parse(self.text("fieldSelector").unwrap_or(""))?,
            revision: self.number("resourceVersion")?,
            revision_match,
            limit: self.number("limit")?.unwrap_or(0),
            continue_token: self.text("continue").map(str::to_owned),
            timeout_seconds: self.number("timeoutSeconds")?.filter(|seconds| *seconds > 0),
            bookmarks: match (self.flag("sendInitialEvents"), self.flag("allowWatchBookmarks")) {
                (true, _) => Bookmarks::InitialEvents,
                (false, true) => Bookmarks::Regular,
                (false, false) => Bookmarks::None,
            },
            initial_events: self.0.contains_key("sendInitialEvents").then(|| self.flag("sendInitialEvents")),
        };
        check_list(&params, self.flag("watch"))?;
        Ok(params)
    }

    /// Delete parameters of the query.
    pub(crate) fn delete(&self) -> Result<DeleteParams, Refusal> {
        Ok(DeleteParams {
            grace_seconds: self.number("gracePeriodSeconds")?,
            propagation: self.text("propagationPolicy").map(str::to_owned).or_else(|| {
                self.0.contains_key("orphanDependents").then(|| {
                    if self.flag("orphanDependents") { "Orphan".to_owned() } else { "Background".to_owned() }
                })
            }),
            uid: None,
            revision: None,
            dry_run: self.dry_run()?,
        })
    }
}

fn check_list(params: &ListParams, watch: bool) -> Result<(), Refusal> {
    let forbidden = |text: &str| Err(invalid_list(&format!("resourceVersionMatch: Forbidden: {text}")));
    let said = params.initial_events.is_some();
    match params.revision_match {
        Some(_) if watch && !said => {
            forbidden("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        }
        Some(_) if !watch && params.continue_token.is_some() => {
            forbidden("resourceVersionMatch is forbidden when continue is provided")
        }
        Some(_) if !watch && params.revision.is_none() => {
            forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided")
        }
        Some(Match::Exact) if params.revision == Some(0) => {
            forbidden("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"")
        }
        None | Some(Match::Exact) if watch && said => {
            forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        }
        None | Some(_) => Ok(()),
    }
}

fn invalid_list(text: &str) -> Refusal {
    Refusal::new(crate::status::Reason::Invalid, format!("ListOptions.meta.k8s.io \"\" is invalid: {text}"))
}

pub(super) fn dry_run<T: AsRef<str>>(values: &[T]) -> Result<DryRun, Refusal> {
    match values.iter().map(AsRef::as_ref).find(|value| !value.is_empty()) {
        None => Ok(DryRun::No),
        Some("All") => Ok(DryRun::All),
        Some(other) => Err(Refusal::bad_request(format!(
            "dryRun: Unsupported value: {other:?}: supported values: \"All\""
        ))),
    }
}

impl DeleteParams {
    /// With what a DeleteOptions body says; the body wins over the query, as upstream.
    pub(crate) fn with_body(mut self, body: &serde_json::Value) -> Result<Self, Refusal> {
        let text = |path: &str| body.pointer(path).and_then(serde_json::Value::as_str).map(str::to_owned);
        if let Some(seconds) = body.get("gracePeriodSeconds").and_then(serde_json::Value::as_i64) {
            self.grace_seconds = Some(seconds);
        }
        if let Some(orphan) = body.get("orphanDependents").and_then(serde_json::Value::as_bool) {
            self.propagation = Some(if orphan { "Orphan" } else { "Background" }.to_owned());
        }
        self.propagation = text("/propagationPolicy").or(self.propagation);
        self.uid = text("/preconditions/uid");
        self.revision = text("/preconditions/resourceVersion");
        if let Some(values) = body.get("dryRun").and_then(serde_json::Value::as_array) {
            let values: Vec<&str> = values.iter().filter_map(serde_json::Value::as_str).collect();
            if !values.is_empty() {
                self.dry_run = dry_run(&values)?;
            }
        }
        Ok(self)
    }
}

fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let value = escaped.and_then(|hex| Some(hex_digit(hex[0])? * 16 + hex_digit(hex[1])?));
        match (value, bytes[at]) {
            (Some(value), _) => {
                out.push(value);
                at += 3;
                continue;
            }
            (None, b'+') => out.push(b' '),
            (None, byte) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
