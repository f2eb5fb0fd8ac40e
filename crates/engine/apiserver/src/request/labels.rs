//! Label selectors: `a=b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`.

use std::fmt;

use crate::object::Header;
use crate::status::Refusal;

/// A parsed label selector; empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// Reads the textual form.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let refuse = |why: &str| Refusal::bad_request(format!("unable to parse requirement: {why}"));
        split(text)
            .into_iter()
            .map(|part| requirement(part.trim()).map_err(|why| refuse(&why)))
            .collect::<Result<Vec<_>, _>>()
            .map(Self)
    }

    /// Whether an object is selected.
    pub(crate) fn matches(&self, header: &Header) -> bool {
        self.matches_by(|key| header.label(key))
    }

    /// Whether labels, looked up by `label`, are selected.
    pub(crate) fn matches_by<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|requirement| {
            let value = label(&requirement.key);
            match &requirement.operator {
                Operator::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
                Operator::NotIn(values) => !value.is_some_and(|value| values.iter().any(|one| one == value)),
                Operator::Exists => value.is_some(),
                Operator::Absent => value.is_none(),
                Operator::Above(bound) => number(value).is_some_and(|value| value > *bound),
                Operator::Below(bound) => number(value).is_some_and(|value| value < *bound),
            }
        })
    }

    /// Whether it selects everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From a `LabelSelector` of an object (`matchLabels`, `matchExpressions`); `None` where it is malformed.
    pub(crate) fn of_document(selector: &serde_json::Value) -> Option<Self> {
        let mut out = Vec::new();
        for (key, value) in
            selector.get("matchLabels").and_then(|value| value.as_object()).into_iter().flatten()
        {
            let operator = Operator::In(vec![value.as_str()?.to_owned()]);
            out.push(Requirement { key: key.clone(), operator });
        }
        let expressions = selector.get("matchExpressions").and_then(|value| value.as_array());
        for expression in expressions.into_iter().flatten() {
            let values = || -> Vec<String> {
                let list = expression.get("values").and_then(|value| value.as_array());
                list.into_iter().flatten().filter_map(|value| value.as_str().map(str::to_owned)).collect()
            };
            let operator = match expression.get("operator")?.as_str()? {
                "In" => Operator::In(values()),
                "NotIn" => Operator::NotIn(values()),
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::Absent,
                _ => return None,
            };
            out.push(Requirement { key: expression.get("key")?.as_str()?.to_owned(), operator });
        }
        Some(Self(out))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { key, operator }) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match operator {
                Operator::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0])?,
                Operator::In(values) => write!(f, "{key} in ({})", values.join(","))?,
                Operator::NotIn(values) if values.len() == 1 => write!(f, "{key}!={}", values[0])?,
                Operator::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
                Operator::Exists => f.write_str(key)?,
                Operator::Absent => write!(f, "!{key}")?,
                Operator::Above(bound) => write!(f, "{key}>{bound}")?,
                Operator::Below(bound) => write!(f, "{key}<{bound}")?,
            }
        }
        Ok(())
    }
}

fn number(value: Option<&str>) -> Option<i64> {
    value.and_then(|value| value.parse().ok())
}

/// Splits at commas that stand outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(|letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    })
    .filter(|part| !part.trim().is_empty())
    .collect()
}

fn requirement(text: &str) -> Result<Requirement, String> {
    let set = |marker: &str| text.split_once(marker).filter(|_| text.ends_with(')'));
    let (key, operator) = if let Some((key, values)) = set(" notin ").or_else(|| set(" notin(")) {
        (key, Operator::NotIn(values_of(values)))
    } else if let Some((key, values)) = set(" in ").or_else(|| set(" in(")) {
        (key, Operator::In(values_of(values)))
    } else if let Some((key, value)) = text.split_once("!=") {
        (key, Operator::NotIn(vec![value.trim().to_owned()]))
    } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        (key, Operator::In(vec![value.trim().to_owned()]))
    } else if let Some((key, bound)) = text.split_once('>') {
        (key, Operator::Above(bound_of(bound)?))
    } else if let Some((key, bound)) = text.split_once('<') {
        (key, Operator::Below(bound_of(bound)?))
    } else if let Some(key) = text.strip_prefix('!') {
        (key, Operator::Absent)
    } else {
        (text, Operator::Exists)
    };
    let key = key.trim();
    if let Some((_, "in" | "notin")) = key.rsplit_once(' ') {
        return Err("found '' expected: '('".to_owned());
    }
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    if key.is_empty() || !key.chars().all(fits) {
        return Err(format!("<nil>: Invalid value: {key:?}: not a label key"));
    }
    Ok(Requirement { key: key.to_owned(), operator })
}

fn bound_of(text: &str) -> Result<i64, String> {
    text.trim().parse().map_err(|_| format!("{:?} is not a whole number", text.trim()))
}

fn values_of(text: &str) -> Vec<String> {
    text.trim().trim_matches(['(', ')']).split(',').map(|value| value.trim().to_owned()).collect()
}
