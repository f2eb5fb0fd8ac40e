//! Why a body could not be read.

use crate::decode::proto::ProtobufError;
use crate::kind::Kind;

/// Why a body could not be read; the texts are those of the reference implementation where it has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body is larger than [`BODY_BYTES_MAX`](super::BODY_BYTES_MAX).
    #[error("Request entity too large: limit is {limit_bytes}")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// Not JSON, or not YAML.
    #[error("{text}")]
    Syntax {
        /// What the parser says.
        text: String,
    },
    /// The document is not an object.
    #[error("json: cannot unmarshal the document: it is not an object")]
    NotAnObject,
    /// A value of the wrong JSON type.
    #[error("json: cannot unmarshal {found} into Go struct field {structure}.{field} of type {expected}")]
    Type {
        /// JSON type of the value, with the number itself where it does not fit.
        found: String,
        /// Type that holds the field.
        structure: String,
        /// Path of the field, without indices.
        field: String,
        /// Type of the field.
        expected: String,
    },
    /// A string that cannot be read as what it stands for (time, quantity, base64).
    #[error("{path}: {reason}")]
    Leaf {
        /// Path of the value.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Unknown or duplicate fields under `fieldValidation=Strict`.
    #[error("strict decoding error: {}", issues.join(", "))]
    Strict {
        /// One text per field.
        issues: Vec<String>,
    },
    /// The document is of another version than the request.
    #[error("the API version in the data ({found}) does not match the expected API version ({expected})")]
    WrongVersion {
        /// In the document.
        found: String,
        /// By the request.
        expected: String,
    },
    /// The document is of another kind than the request.
    #[error("the kind in the data ({found}) does not match the expected kind ({expected})")]
    WrongKind {
        /// In the document.
        found: String,
        /// By the request.
        expected: String,
    },
    /// Bytes that are not the protobuf message they should be.
    #[error(transparent)]
    Protobuf(ProtobufError),
    /// A message name that is in no table.
    #[error("no message {name} is known")]
    UnknownMessage {
        /// The name.
        name: String,
    },
}

impl DecodeError {
    /// The text of the 400 answer, with the sentence around it that clients of the reference implementation see.
    pub fn status_message(&self, kind: &Kind) -> String {
        let (name, version) = (&kind.gvk.kind, &kind.gvk.version);
        match self {
            Self::TooLarge { .. } | Self::WrongVersion { .. } | Self::WrongKind { .. } => self.to_string(),
            Self::Syntax { .. } | Self::NotAnObject | Self::Protobuf(_) | Self::UnknownMessage { .. } => {
                format!("the object provided is unrecognized (must be of type {name}): {self}")
            }
            Self::Type { .. } | Self::Leaf { .. } | Self::Strict { .. } => {
                format!("{name} in version {version:?} cannot be handled as a {name}: {self}")
            }
        }
    }
}
