//! Priority: from the class that a pod names, or the default one.

use muster_store::{Entry, Key};
use serde_json::{Value, json};

use crate::object::Object;
use crate::rest::Target;
use crate::server::ApiServer;
use crate::status::Refusal;

const CLASSES: &str = "priorityclasses.scheduling.k8s.io";

pub(super) fn complete(server: &ApiServer, target: &Target, value: &mut Value) -> Result<(), Refusal> {
    let refuse = |value: &Value, why: &str| {
        let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("");
        Err(Refusal::forbidden(target.served.about(), name, why))
    };
    let document = |entry: &Entry<Object>| entry.value.stored_document(entry.revision.get());
    let named = value["spec"]["priorityClassName"].as_str().unwrap_or("").to_owned();
    let class = if named.is_empty() {
        server
            .store()
            .snapshot(CLASSES)
            .iter()
            .map(|entry| document(entry))
            .find(|class| class["globalDefault"] == true)
    } else {
        match server.store().get(&Key::new(CLASSES, "", named.as_str())) {
            Some(entry) => Some(document(&entry)),
            None => return refuse(value, &format!("no PriorityClass with name {named} was found")),
        }
    };
    let priority = class.as_ref().and_then(|class| class["value"].as_i64()).unwrap_or(0);
    let policy =
        class.as_ref().and_then(|class| class["preemptionPolicy"].as_str()).unwrap_or("PreemptLowerPriority");
    if let Some(given) = value["spec"]["priority"].as_i64().filter(|given| *given != priority) {
        return refuse(
            value,
            &format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission \
                 controller computed {priority} from the given PriorityClass name"
            ),
        );
    }
    if let Some(class) = &class {
        value["spec"]["priorityClassName"] = class["metadata"]["name"].clone();
    }
    value["spec"]["priority"] = json!(priority);
    value["spec"]["preemptionPolicy"] = json!(policy);
    Ok(())
}
