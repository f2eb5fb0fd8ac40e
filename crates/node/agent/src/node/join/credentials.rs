//! The agent's own kubeconfig, which only root reads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use muster_api::join::{DOCTOR_SIGNER, DOCTOR_USER, DOCTORS, NODE_USER, NODES, SIGNER};
use serde_json::{Value, json};
use x509_parser::pem::Pem;

use super::{JoinError, bounded};

/// Whom a certificate of this machine is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Agent,
    Doctor,
}

impl Whose {
    /// User name in the API, before the name of the machine.
    pub(super) const fn user(self) -> &'static str {
        match self {
            Self::Agent => NODE_USER,
            Self::Doctor => DOCTOR_USER,
        }
    }

    pub(super) const fn group(self) -> &'static str {
        match self {
            Self::Agent => NODES,
            Self::Doctor => DOCTORS,
        }
    }

    pub(super) const fn signer(self) -> &'static str {
        match self {
            Self::Agent => SIGNER,
            Self::Doctor => DOCTOR_SIGNER,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Doctor => "doctor",
        }
    }
}

/// A certificate with its key, and whom to show it to. All texts are PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub server: String,
    pub authority: String,
    pub whose: Whose,
    pub machine: String,
    pub certificate: String,
    pub key: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({} of {} at {})", self.whose.as_str(), self.machine, self.server)
    }
}

fn document(server: &str, authority: &str, name: &str, user: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "muster",
        "clusters": [{"name": "muster", "cluster": {
            "server": server, "certificate-authority-data": STANDARD.encode(authority),
        }}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "muster", "context": {"cluster": "muster", "user": name}}],
    })
}

async fn config(document: Value) -> Option<Config> {
    let kubeconfig: Kubeconfig = serde_json::from_value(document).ok()?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.ok()
}

/// A client that shows a token.
pub(super) async fn client_with_token(
    server: &str,
    authority: &str,
    token: &str,
) -> Result<Client, JoinError> {
    let config = config(document(server, authority, "joining", &json!({ "token": token }))).await;
    bounded(config.ok_or_else(|| JoinError::Server { server: server.to_owned() })?)
}

impl Credentials {
    fn document(&self) -> Value {
        let user = json!({
            "client-certificate-data": STANDARD.encode(&self.certificate),
            "client-key-data": STANDARD.encode(&self.key),
        });
        document(&self.server, &self.authority, &format!("{}{}", self.whose.user(), self.machine), &user)
    }

    /// A client under this identity; its watches may be silent.
    ///
    /// # Errors
    /// [`JoinError::Client`], where the certificate or key is none.
    pub async fn client(&self) -> Result<Client, JoinError> {
        let server = || JoinError::Server { server: self.server.clone() };
        let mut config = config(self.document()).await.ok_or_else(server)?;
        config.connect_timeout = Some(std::time::Duration::from_secs(5));
        config.write_timeout = Some(super::ANSWER_WITHIN);
        Client::try_from(config).map_err(|error| JoinError::Client(Box::new(error)))
    }

    /// From when to when the certificate counts.
    pub fn validity(&self) -> Option<(Timestamp, Timestamp)> {
        let pem = Pem::iter_from_buffer(self.certificate.as_bytes()).next()?.ok()?;
        let certificate = pem.parse_x509().ok()?;
        let at = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
        let validity = certificate.validity();
        at(validity.not_before).zip(at(validity.not_after))
    }

    /// Writes them down, whole or not at all.
    ///
    /// # Errors
    /// [`JoinError::File`].
    pub fn save(&self, path: &Path) -> Result<(), JoinError> {
        let write = || -> io::Result<()> {
            let dir = path.parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(dir)?;
            let next = path.with_extension("next");
            let mut options = OpenOptions::new();
            let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&next)?;
            file.write_all(format!("{:#}\n", self.document()).as_bytes())?;
            file.sync_all()?;
            fs::rename(&next, path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(|source| JoinError::File { path: path.to_owned(), step: "written", source })
    }

    /// Reads them; `None` where this machine has not joined.
    ///
    /// # Errors
    /// [`JoinError::File`], [`JoinError::Damaged`].
    pub fn load(path: &Path) -> Result<Option<Self>, JoinError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(JoinError::File { path: path.to_owned(), step: "read", source }),
        };
        Self::parse(&text).map(Some).ok_or_else(|| JoinError::Damaged { path: path.to_owned() })
    }

    fn parse(text: &str) -> Option<Self> {
        let document: Value = serde_json::from_str(text).ok()?;
        let get = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
        let pem = |pointer: &str| String::from_utf8(STANDARD.decode(get(pointer)?).ok()?).ok();
        let user = get("/users/0/name")?;
        let (whose, machine) = [Whose::Agent, Whose::Doctor]
            .into_iter()
            .find_map(|whose| user.strip_prefix(whose.user()).map(|machine| (whose, machine)))?;
        Some(Self {
            server: get("/clusters/0/cluster/server")?.to_owned(),
            authority: pem("/clusters/0/cluster/certificate-authority-data")?,
            whose,
            machine: machine.to_owned(),
            certificate: pem("/users/0/user/client-certificate-data")?,
            key: pem("/users/0/user/client-key-data")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn credentials_are_read_as_they_were_written_and_only_by_their_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.kubeconfig");
        assert_eq!(Credentials::load(&path).unwrap(), None);
        let credentials = Credentials {
            server: "https://c:6443".into(),
            authority: "A".into(),
            whose: Whose::Doctor,
            machine: "m1".into(),
            certificate: "C".into(),
            key: "K".into(),
        };
        credentials.save(&path).unwrap();
        assert_eq!(Credentials::load(&path).unwrap(), Some(credentials));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "{}").unwrap();
        assert!(matches!(Credentials::load(&path), Err(JoinError::Damaged { .. })));
    }
}
