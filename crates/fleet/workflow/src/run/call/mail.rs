//! E-mails by SMTP (RFC 5321), each over a connection of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use lettre::address::AddressError;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use muster_api::SECRETS_NAMESPACE;
use muster_api::repair::{Mail, MailTls};
use muster_control::is_not_found;

/// Characters of a subject.
const SUBJECT_MAX: usize = 200;

/// An e-mail that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Names the attempt.
    pub key: String,
    pub mail: Mail,
    /// The same however often it is sent: the left part of its Message-ID.
    pub id: String,
    pub subject: String,
    pub text: String,
    /// When it was written.
    pub at: Timestamp,
}

/// Why an e-mail was not sent, where that is not the server's answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MailError {
    #[error("spec.ticket.mail.secretRef: there is no Secret {name:?} in namespace {SECRETS_NAMESPACE}")]
    NoSecret { name: String },
    #[error("spec.ticket.mail.secretRef: Secret {name:?} cannot be read")]
    Unreadable {
        name: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("spec.ticket.mail.secretRef: Secret {name:?}: {what}")]
    Unusable { name: String, what: String },
    #[error("{path}: {text:?} is no address")]
    Address {
        path: String,
        text: String,
        #[source]
        source: AddressError,
    },
    #[error("spec.ticket.mail.server: {0:?} is not HOST:PORT")]
    Server(String),
    #[error("the message cannot be written")]
    Message(#[from] lettre::error::Error),
    // This error tells its source itself.
    #[error("{0}")]
    Send(lettre::transport::smtp::Error),
}

/// What a Secret says of a mail server. Its `Debug` shows no secret.
#[derive(Clone, Default)]
pub(crate) struct Access {
    login: Option<(String, String)>,
    authority: Option<Vec<u8>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({:?})", self.login.as_ref().map(|(name, _)| name))
    }
}

impl Access {
    /// Reads the keys of a Secret.
    fn parse(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, String> {
        let text = |key: &str| match data.get(key).map(|bytes| std::str::from_utf8(bytes)) {
            None => Ok(None),
            Some(Ok(text)) => {
                Ok(Some(text.trim_end_matches('\n').to_owned()).filter(|text| !text.is_empty()))
            }
            Some(Err(_)) => Err(format!("{key}: not UTF-8")),
        };
        let login = match (text("username")?, text("password")?) {
            (Some(username), Some(password)) => Some((username, password)),
            (None, None) => None,
            (Some(_), None) => return Err("password: missing".to_owned()),
            (None, Some(_)) => return Err("username: missing".to_owned()),
        };
        let authority = data.get("ca.crt").cloned();
        if let Some(authority) = &authority {
            Certificate::from_pem(authority).map_err(|error| format!("ca.crt: {error}"))?;
        }
        if login.is_none() && authority.is_none() {
            return Err("has neither username and password nor ca.crt".to_owned());
        }
        Ok(Self { login, authority })
    }

    /// Reads the Secret that `mail` names, if it names one.
    pub(crate) async fn read(client: &Client, mail: &Mail) -> Result<Self, MailError> {
        let name = mail.secret_ref.clone();
        if name.is_empty() {
            return Ok(Self::default());
        }
        let api: Api<Secret> = Api::namespaced(client.clone(), SECRETS_NAMESPACE);
        let secret = match api.get(&name).await {
            Ok(secret) => secret,
            Err(error) if is_not_found(&error) => return Err(MailError::NoSecret { name }),
            Err(error) => return Err(MailError::Unreadable { name, source: Box::new(error) }),
        };
        let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
        Self::parse(&data).map_err(|what| MailError::Unusable { name, what })
    }
}

/// Judges what a policy says of its e-mails; the first fault is told with its field.
pub(crate) fn check(mail: &Mail) -> Result<(), MailError> {
    server(mail)?;
    mailboxes(mail).map(|_| ())
}

fn server(mail: &Mail) -> Result<(&str, u16), MailError> {
    let parts = mail.server.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let told = parts.and_then(|(host, port)| Some((host, port.parse().ok().filter(|port| *port != 0)?)));
    told.ok_or_else(|| MailError::Server(mail.server.clone()))
}

/// From whom, and to whom.
fn mailboxes(mail: &Mail) -> Result<(Mailbox, Vec<Mailbox>), MailError> {
    let address = |path: String, text: &str| {
        let told = text.parse::<Address>();
        told.map_err(|source| MailError::Address { path, text: text.to_owned(), source })
    };
    let from = address("spec.ticket.mail.from".to_owned(), &mail.from)?;
    let to = mail
        .to
        .iter()
        .enumerate()
        .map(|(index, to)| Ok(Mailbox::new(None, address(format!("spec.ticket.mail.to[{index}]"), to)?)));
    Ok((Mailbox::new(Some("Muster".to_owned()), from), to.collect::<Result<_, MailError>>()?))
}

/// One line: whatever would end it, or begin a header, is a space.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let is_end = |letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}');
    let line: String = text.chars().take(most).map(|c| if is_end(c) { ' ' } else { c }).collect();
    if text.chars().nth(most).is_some() { line + "…" } else { line }
}

fn written(letter: &Letter) -> Result<Message, MailError> {
    let (from, to) = mailboxes(&letter.mail)?;
    let domain = Some(from.email.domain()).filter(|domain| domain.is_ascii()).unwrap_or("muster.invalid");
    let id = format!("<{}@{domain}>", letter.id);
    // RFC 3834: nobody's absence is answered to it.
    let name = HeaderName::new_from_ascii_str("Auto-Submitted");
    let mut message = Message::builder()
        .from(from)
        .message_id(Some(id))
        .date(SystemTime::from(letter.at))
        .subject(one_line(&letter.subject, SUBJECT_MAX))
        .raw_header(HeaderValue::new(name, "auto-generated".to_owned()));
    for one in to {
        message = message.to(one);
    }
    Ok(message.singlepart(SinglePart::plain(letter.text.clone()))?)
}

fn transport(mail: &Mail, access: &Access) -> Result<AsyncSmtpTransport<Tokio1Executor>, MailError> {
    let (host, port) = server(mail)?;
    let parameters = || {
        let mut builder = TlsParameters::builder(host.to_owned());
        if let Some(authority) = &access.authority {
            builder = builder.add_root_certificate(Certificate::from_pem(authority)?);
        }
        builder.build_rustls()
    };
    let tls = match mail.tls {
        MailTls::StartTls => Tls::Required(parameters().map_err(MailError::Send)?),
        MailTls::Implicit => Tls::Wrapper(parameters().map_err(MailError::Send)?),
        MailTls::None => Tls::None,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host).port(port).tls(tls);
    // A password is not sent in the clear, whatever the policy and the Secret say together.
    if let Some((name, password)) = access.login.clone().filter(|_| mail.tls != MailTls::None) {
        builder = builder.credentials(Credentials::new(name, password));
    }
    Ok(builder.build())
}

/// Sends it: the server's code and what it says.
pub(crate) async fn send(letter: &Letter, access: &Access) -> Result<(u16, String), MailError> {
    let message = written(letter)?;
    match transport(&letter.mail, access)?.send(message).await {
        Ok(response) => Ok((response.code().into(), response.message().collect::<Vec<_>>().join(" "))),
        Err(error) => match error.status() {
            Some(code) => {
                let said = std::error::Error::source(&error).map(ToString::to_string);
                Ok((code.into(), one_line(&said.unwrap_or_default(), super::ANSWER_MAX)))
            }
            None => Err(MailError::Send(error)),
        },
    }
}

#[cfg(test)]
mod tests;
