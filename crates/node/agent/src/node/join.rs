//! A new machine becomes an agent: it finds the cluster by address and the hash of its authority's key, shows a one-time
//! token, and gets a certificate of its own. From then on the certificate is its identity; it renews it in time.
//!
//! Until the certificate is there, nothing is written on this machine. Under it the agent asks for the certificate of this
//! machine's doctor, which is somebody else to the API.

mod credentials;
mod doctor;
mod pin;
mod renew;
mod request;

use std::path::PathBuf;
use std::time::Duration;

use kube::Client;

pub use credentials::{Credentials, Whose};
pub use doctor::DoctorIdentity;
pub use pin::ca_hash;
pub use renew::Connection;

/// How long one answer of the API may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long the machine database may take to answer a request to join.
const DECIDED_WITHIN: Duration = Duration::from_secs(60);

/// Why a machine could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error(
        "the token must be ID.SECRET, six and sixteen lower-case letters and digits; `muster token create` prints one"
    )]
    Token,
    #[error("--ca-hash {hash:?} must be sha256: and 64 hexadecimal digits; `muster token create` prints it")]
    Hash { hash: String },
    #[error("--server {server:?} must be https://HOST[:PORT]")]
    Server { server: String },
    #[error("{server} does not answer")]
    Unreachable {
        server: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error(
        "{server} does not tell its authority (ConfigMap kube-public/cluster-info); make the token with `muster token create` there"
    )]
    NoAuthority { server: String },
    #[error(
        "{server} is not the cluster that was meant: its authority is {found}, not {wanted}; nothing was sent to it"
    )]
    WrongAuthority { server: String, found: String, wanted: String },
    #[error(
        "{server} refuses the token: it is wrong, has expired or was used; `muster token create` makes another"
    )]
    Unauthorized { server: String },
    #[error("{server} does not let this machine join ({reason}): {message}")]
    Denied { server: String, reason: String, message: String },
    #[error(
        "{server} did not answer the request to join within {} s; do its fleet controllers run?",
        DECIDED_WITHIN.as_secs()
    )]
    Undecided { server: String },
    #[error("the request to join cannot be made")]
    Request(#[source] rcgen::Error),
    #[error("the API refuses the request to join")]
    Api(#[source] Box<kube::Error>),
    #[error("the credentials {} cannot be {step}", .path.display())]
    File {
        path: PathBuf,
        step: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("the credentials {} are not what they should be; remove them and join again", .path.display())]
    Damaged { path: PathBuf },
    #[error("no client can be built from the credentials")]
    Client(#[source] Box<kube::Error>),
}

impl JoinError {
    /// Whether what was asked for is wrong, rather than something in the way of it.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Token
            | Self::Hash { .. }
            | Self::Server { .. }
            | Self::NoAuthority { .. }
            | Self::WrongAuthority { .. }
            | Self::Unauthorized { .. }
            | Self::Denied { .. } => true,
            Self::Unreachable { .. }
            | Self::Undecided { .. }
            | Self::Request(_)
            | Self::Api(_)
            | Self::File { .. }
            | Self::Damaged { .. }
            | Self::Client(_) => false,
        }
    }
}

/// What the machine was told.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// `https://HOST[:PORT]`.
    pub server: String,
    /// `ID.SECRET`.
    pub token: String,
    /// `sha256:` and the hash of the authority's public key.
    pub ca_hash: String,
    /// The name it would like; the cluster may know it by another.
    pub name: String,
    /// What its firmware tells.
    pub serial: String,
}

/// Joins and gives the credentials, which are not yet written down.
///
/// # Errors
/// See [`JoinError`]; then nothing changed on this machine.
pub async fn join(invitation: &Invitation) -> Result<Credentials, JoinError> {
    let server = invitation.server.trim_end_matches('/').to_owned();
    if !server.starts_with("https://") || server.parse::<http::Uri>().is_err() {
        return Err(JoinError::Server { server });
    }
    if muster_api::join::token_parts(&invitation.token).is_none() {
        return Err(JoinError::Token);
    }
    let authority = pin::authority(&server, &invitation.ca_hash).await?;
    let client = credentials::client_with_token(&server, &authority, &invitation.token).await?;
    let mut name = invitation.name.clone();
    for _ in 0..2 {
        match request::certificate(&client, &server, Whose::Agent, &name, &invitation.serial).await? {
            request::Outcome::Issued { certificate, key } => {
                let whose = Whose::Agent;
                return Ok(Credentials { server, authority, whose, machine: name, certificate, key });
            }
            request::Outcome::ExpectedAs(other) => name = other,
        }
    }
    Err(JoinError::Undecided { server })
}

fn api(server: &str, error: kube::Error) -> JoinError {
    let server = server.to_owned();
    if let kube::Error::Api(status) = &error {
        return if status.code == 401 {
            JoinError::Unauthorized { server }
        } else {
            JoinError::Api(Box::new(error))
        };
    }
    JoinError::Unreachable { server, source: Box::new(error) }
}

/// A client of `config` with limits on what it waits for.
fn bounded(mut config: kube::Config) -> Result<Client, JoinError> {
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(ANSWER_WITHIN);
    config.write_timeout = Some(ANSWER_WITHIN);
    Client::try_from(config).map_err(|error| JoinError::Client(Box::new(error)))
}
