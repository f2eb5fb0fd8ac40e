//! What a webhook refuses: its own Status, completed as upstream completes it.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Reason, Refusal};

impl Refusal {
    /// A write that the webhook `name` does not allow; `status` is what it says about it.
    pub(crate) fn denied_by_webhook(name: &str, status: Option<Value>) -> Self {
        let mut document = status.filter(Value::is_object).unwrap_or_else(|| json!({}));
        let text = |key: &str| document[key].as_str().unwrap_or("").to_owned();
        let denied = format!("admission webhook {name:?} denied the request");
        let message = match (text("message").as_str(), text("reason").as_str()) {
            ("", "") => format!("{denied} without explanation"),
            ("", reason) => format!("{denied}: {reason}"),
            (message, _) => format!("{denied}: {message}"),
        };
        let code = document["code"].as_u64().and_then(|code| u16::try_from(code).ok());
        let code = code.and_then(|code| StatusCode::from_u16(code).ok());
        let code = code.filter(|code| code.as_u16() >= 400).unwrap_or(StatusCode::BAD_REQUEST);
        document["kind"] = json!("Status");
        document["apiVersion"] = json!("v1");
        if !document["metadata"].is_object() {
            document["metadata"] = json!({});
        }
        if matches!(document["status"].as_str(), None | Some("" | "Success")) {
            document["status"] = json!("Failure");
        }
        document["message"] = json!(message);
        document["code"] = json!(code.as_u16());
        let mut refusal = Self::new(Reason::Forbidden, message);
        refusal.foreign = Some(Box::new((code, document)));
        refusal
    }
}
