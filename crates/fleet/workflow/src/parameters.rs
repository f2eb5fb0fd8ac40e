//! What a run is told: judged by the workflow's schema, and put into the texts of its steps.

use std::collections::BTreeMap;

use muster_api::GoDuration;
use muster_api::workflow::{Parameter, ParameterType, Step, WorkflowSpec};
use regex::Regex;
use serde_json::Value;

/// Something wrong with parameters, and the field it stands in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParameterError {
    /// Two parameters bear one name.
    #[error("{path}: the name {name:?} stands twice")]
    Duplicate { path: String, name: String },
    /// A pattern that is none.
    #[error("{path}: {text:?} is not a regular expression: {reason}")]
    Pattern { path: String, text: String, reason: String },
    /// A value that the parameter may not have.
    #[error("{path}: {text:?} {reason}")]
    Value { path: String, text: String, reason: String },
    /// A value for a parameter that is not there.
    #[error("spec.parameters.{name}: Workflow {workflow:?} has no parameter of that name; it has {known}")]
    Unknown { name: String, workflow: String, known: String },
    /// No value for one that is required.
    #[error("spec.parameters.{name}: Workflow {workflow:?} requires it")]
    Missing { name: String, workflow: String },
    /// A text names a parameter that is not there.
    #[error("{path}: there is no parameter {name:?}")]
    Unnamed { path: String, name: String },
    /// A text begins a name and does not end it.
    #[error("{path}: ${{ is not closed by }}")]
    Open { path: String },
    /// After the values were put in, the step cannot be read any more.
    #[error("{path}: with the values put in it cannot be read: {reason}")]
    Unreadable { path: String, reason: String },
    /// A number of repetitions that is none.
    #[error("{path}: {text:?} is no number of repetitions from 1 to {most}")]
    Repeat { path: String, text: String, most: u32 },
}

impl ParameterError {
    /// One word for programs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "UnknownParameter",
            Self::Missing { .. } => "MissingParameter",
            Self::Value { .. } | Self::Repeat { .. } => "InvalidParameter",
            Self::Duplicate { .. }
            | Self::Pattern { .. }
            | Self::Unnamed { .. }
            | Self::Open { .. }
            | Self::Unreadable { .. } => "InvalidWorkflow",
        }
    }
}

/// Repetitions of one step.
pub(crate) const REPEAT_MAX: u32 = 200_000;

/// Judges the schema of a workflow by itself, and that its steps name nothing else.
pub(crate) fn check(spec: &WorkflowSpec) -> Result<(), ParameterError> {
    for (index, parameter) in spec.parameters.iter().enumerate() {
        let path = |field: &str| format!("spec.parameters[{index}].{field}");
        if spec.parameters[..index].iter().any(|other| other.name == parameter.name) {
            return Err(ParameterError::Duplicate { path: path("name"), name: parameter.name.clone() });
        }
        pattern(parameter).map_err(|reason| ParameterError::Pattern {
            path: path("pattern"),
            text: parameter.pattern.clone(),
            reason,
        })?;
        let values = parameter.values.iter().enumerate().map(|(at, value)| (format!("enum[{at}]"), value));
        let default = parameter.default.iter().map(|value| ("default".to_owned(), value));
        for (field, value) in values.chain(default) {
            judge(parameter, value).map_err(|reason| ParameterError::Value {
                path: path(&field),
                text: value.clone(),
                reason,
            })?;
        }
    }
    // Any value will do to see whether the names are there; a number fits every type of field.
    let sample: BTreeMap<String, String> =
        spec.parameters.iter().map(|parameter| (parameter.name.clone(), "1".to_owned())).collect();
    for (part, steps) in [("spec.steps", &spec.steps), ("spec.finally", &spec.finally)] {
        for (index, step) in steps.iter().enumerate() {
            let path = format!("{part}[{index}]");
            repetitions(step, &sample, &path)?;
            filled(step, &sample, 0, &path)?;
        }
    }
    Ok(())
}

fn pattern(parameter: &Parameter) -> Result<Option<Regex>, String> {
    if parameter.pattern.is_empty() {
        return Ok(None);
    }
    Regex::new(&format!("^(?:{})$", parameter.pattern)).map(Some).map_err(|error| error.to_string())
}

fn judge(parameter: &Parameter, value: &str) -> Result<(), String> {
    let fits = match parameter.r#type {
        ParameterType::String => Ok(()),
        ParameterType::Integer => value.parse::<i64>().map(drop).map_err(|_| "is no whole number".to_owned()),
        ParameterType::Boolean => match value {
            "true" | "false" => Ok(()),
            _ => Err("is neither true nor false".to_owned()),
        },
        ParameterType::Duration => {
            value.parse::<GoDuration>().map(drop).map_err(|_| "is no duration such as 1m30s".to_owned())
        }
    };
    fits?;
    if !parameter.values.is_empty() && !parameter.values.iter().any(|allowed| allowed == value) {
        return Err(format!("is none of {}", parameter.values.join(", ")));
    }
    match pattern(parameter) {
        Ok(Some(pattern)) if !pattern.is_match(value) => {
            Err(format!("does not match {:?}", parameter.pattern))
        }
        Ok(_) => Ok(()),
        Err(reason) => Err(reason),
    }
}

/// The value of each parameter, as given or by default.
pub(crate) fn resolve(
    workflow: &str,
    spec: &WorkflowSpec,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ParameterError> {
    if let Some(name) = given.keys().find(|name| !spec.parameters.iter().any(|p| p.name == **name)) {
        let known: Vec<&str> = spec.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(ParameterError::Unknown { name: name.clone(), workflow: workflow.to_owned(), known });
    }
    spec.parameters.iter().map(|parameter| value(workflow, parameter, given)).collect()
}

fn value(
    workflow: &str,
    parameter: &Parameter,
    given: &BTreeMap<String, String>,
) -> Result<(String, String), ParameterError> {
    let name = parameter.name.clone();
    let Some(value) = given.get(&name) else {
        if parameter.required {
            return Err(ParameterError::Missing { name, workflow: workflow.to_owned() });
        }
        let nothing = match parameter.r#type {
            ParameterType::String => "",
            ParameterType::Integer => "0",
            ParameterType::Boolean => "false",
            ParameterType::Duration => "0s",
        };
        return Ok((name, parameter.default.clone().unwrap_or_else(|| nothing.to_owned())));
    };
    judge(parameter, value).map_err(|reason| ParameterError::Value {
        path: format!("spec.parameters.{name}"),
        text: value.clone(),
        reason,
    })?;
    Ok((name, value.clone()))
}

/// The values as an expression sees them: numbers and truths as such.
pub(crate) fn as_json(spec: &[Parameter], values: &BTreeMap<String, String>) -> Value {
    let typed = |name: &str, text: &str| {
        let kind = spec.iter().find(|parameter| parameter.name == name).map(|parameter| parameter.r#type);
        match kind {
            Some(ParameterType::Integer) => text.parse::<i64>().map_or(Value::Null, Value::from),
            Some(ParameterType::Boolean) => Value::from(text == "true"),
            Some(ParameterType::String | ParameterType::Duration) | None => Value::from(text),
        }
    };
    Value::Object(values.iter().map(|(name, text)| (name.clone(), typed(name, text))).collect())
}

/// How often a step is done; `None` for one that does not repeat.
pub(crate) fn repetitions(
    step: &Step,
    values: &BTreeMap<String, String>,
    path: &str,
) -> Result<Option<u32>, ParameterError> {
    if step.repeat.is_empty() {
        return Ok(None);
    }
    let path = format!("{path}.repeat");
    let text = fill(&step.repeat, values, 0, &path)?;
    match text.parse::<u32>() {
        Ok(count) if (1..=REPEAT_MAX).contains(&count) => Ok(Some(count)),
        Ok(_) | Err(_) => Err(ParameterError::Repeat { path, text, most: REPEAT_MAX }),
    }
}

/// The step with the values in its texts. Expressions stay as they are: they see parameters as a variable.
pub(crate) fn filled(
    step: &Step,
    values: &BTreeMap<String, String>,
    index: u32,
    path: &str,
) -> Result<Step, ParameterError> {
    let unreadable = |error: serde_json::Error| ParameterError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut document = serde_json::to_value(step).map_err(unreadable)?;
    for part in ["order", "container", "webhook", "run", "undo"] {
        if let Some(inner) = document.get_mut(part) {
            walk(inner, values, index, &format!("{path}.{part}"))?;
        }
    }
    serde_json::from_value(document).map_err(unreadable)
}

fn walk(
    value: &mut Value,
    values: &BTreeMap<String, String>,
    index: u32,
    path: &str,
) -> Result<(), ParameterError> {
    match value {
        Value::String(text) if text.contains("${") => *text = fill(text, values, index, path)?,
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate() {
                walk(item, values, index, &format!("{path}[{at}]"))?;
            }
        }
        Value::Object(map) => {
            for (name, inner) in map {
                walk(inner, values, index, &format!("{path}.{name}"))?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

/// `$${` stands for `${` itself.
fn fill(
    text: &str,
    values: &BTreeMap<String, String>,
    index: u32,
    path: &str,
) -> Result<String, ParameterError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            filled.push_str(before);
            filled.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        filled.push_str(&rest[..at]);
        let after = &rest[at + 2..];
        let Some(end) = after.find('}') else { return Err(ParameterError::Open { path: path.to_owned() }) };
        let name = &after[..end];
        match name.strip_prefix("parameters.").and_then(|name| values.get(name)) {
            Some(value) => filled.push_str(value),
            None if name == "index" => filled.push_str(&index.to_string()),
            None => {
                return Err(ParameterError::Unnamed { path: path.to_owned(), name: name.to_owned() });
            }
        }
        rest = &after[end + 1..];
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use muster_api::order::{Arguments, Verb};
    use muster_api::workflow::{Action, OrderTemplate, WebhookTemplate};

    use super::*;

    fn parameter(name: &str, kind: ParameterType) -> Parameter {
        Parameter { name: name.into(), r#type: kind, ..Parameter::default() }
    }

    fn schema() -> WorkflowSpec {
        WorkflowSpec {
            parameters: vec![
                Parameter { required: true, ..parameter("count", ParameterType::Integer) },
                Parameter {
                    values: vec!["slow".into(), "fast".into()],
                    default: Some("slow".into()),
                    ..parameter("speed", ParameterType::String)
                },
                parameter("force", ParameterType::Boolean),
                Parameter { default: Some("1m".into()), ..parameter("rest", ParameterType::Duration) },
                Parameter { pattern: "[a-z]+".into(), ..parameter("word", ParameterType::String) },
            ],
            ..WorkflowSpec::default()
        }
    }

    fn told(text: &str) -> String {
        let given = text.split_whitespace().filter_map(|word| word.split_once('='));
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        match resolve("w", &schema(), &given) {
            Ok(values) => values.iter().map(|(name, value)| format!("{name}={value} ")).collect(),
            Err(error) => format!("{}: {error}", error.reason()),
        }
    }

    #[test]
    fn values_are_taken_by_type_enumeration_pattern_and_default() {
        assert_eq!(told("count=3"), "count=3 force=false rest=1m speed=slow word= ");
        assert_eq!(
            told("count=-3 force=true rest=5s speed=fast word=abc"),
            "count=-3 force=true rest=5s speed=fast word=abc "
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_field() {
        for (given, expected) in [
            ("", "MissingParameter: spec.parameters.count: Workflow \"w\" requires it"),
            (
                "count=1 sped=x",
                "UnknownParameter: spec.parameters.sped: Workflow \"w\" has no parameter of that name; it has count, speed, force, rest, word",
            ),
            ("count=many", "InvalidParameter: spec.parameters.count: \"many\" is no whole number"),
            ("count=1 speed=x", "InvalidParameter: spec.parameters.speed: \"x\" is none of slow, fast"),
            (
                "count=1 force=yes",
                "InvalidParameter: spec.parameters.force: \"yes\" is neither true nor false",
            ),
            ("count=1 rest=9", "InvalidParameter: spec.parameters.rest: \"9\" is no duration such as 1m30s"),
            ("count=1 word=A", "InvalidParameter: spec.parameters.word: \"A\" does not match \"[a-z]+\""),
        ] {
            assert_eq!(told(given), expected);
        }
    }

    #[test]
    fn a_schema_that_does_not_stand_is_refused_with_the_field() {
        let mut spec = schema();
        spec.parameters.push(parameter("speed", ParameterType::String));
        assert_eq!(
            check(&spec).unwrap_err().to_string(),
            "spec.parameters[5].name: the name \"speed\" stands twice"
        );
        let mut spec = schema();
        spec.parameters[1].default = Some("medium".into());
        assert_eq!(
            check(&spec).unwrap_err().to_string(),
            "spec.parameters[1].default: \"medium\" is none of slow, fast"
        );
        let mut spec = schema();
        spec.parameters[4].pattern = "(".into();
        assert!(
            check(&spec).unwrap_err().to_string().starts_with("spec.parameters[4].pattern: \"(\" is not a")
        );
        let mut spec = schema();
        let mut step = Step::new("call", Action::Webhook, GoDuration::default());
        step.webhook = Some(WebhookTemplate {
            url: "http://x/${parameters.cuont}".into(),
            ..WebhookTemplate::default()
        });
        spec.steps = vec![step];
        assert_eq!(
            check(&spec).unwrap_err().to_string(),
            "spec.steps[0].webhook.url: there is no parameter \"parameters.cuont\""
        );
    }

    #[test]
    fn values_go_into_every_text_of_a_step_and_a_double_dollar_stays() {
        let mut step = Step::new("set", Action::Order, GoDuration::default());
        let sysctls =
            BTreeMap::from([("vm.swappiness".to_owned(), "${parameters.count}/${index}$${x}".to_owned())]);
        let arguments = Arguments { sysctls, ..Arguments::default() };
        step.order = Some(OrderTemplate { verb: Verb::EnsureSysctls, arguments });
        let values = BTreeMap::from([("count".to_owned(), "7".to_owned())]);
        let filled = filled(&step, &values, 2, "spec.steps[0]").unwrap();
        assert_eq!(filled.order.unwrap().arguments.sysctls["vm.swappiness"], "7/2${x}");
        step.repeat = "${parameters.count}".into();
        assert_eq!(repetitions(&step, &values, "p"), Ok(Some(7)));
        step.repeat = "0".into();
        assert_eq!(
            repetitions(&step, &values, "p").unwrap_err().to_string(),
            "p.repeat: \"0\" is no number of repetitions from 1 to 200000"
        );
    }
}
