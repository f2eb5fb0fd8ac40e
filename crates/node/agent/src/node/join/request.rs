//! One request for a certificate, from the key to the answer.

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec,
};
use kube::api::PostParams;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt as _};
use muster_api::join::{EXPECTED_AS, SERIAL};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::{DECIDED_WITHIN, JoinError, Whose, api};

/// How long a certificate is asked for.
const LIFETIME_SECONDS: i32 = 30 * 86_400;

/// What became of it.
pub(super) enum Outcome {
    /// Both PEM.
    Issued { certificate: String, key: String },
    /// The cluster knows this machine by another name.
    ExpectedAs(String),
}

fn request(whose: Whose, name: &str, key: &KeyPair) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("{}{name}", whose.user()));
    params.distinguished_name.push(DnType::OrganizationName, whose.group());
    params.serialize_request(key)?.pem()
}

fn object(whose: Whose, name: &str, serial: &str, pem: String) -> CertificateSigningRequest {
    let mut object = CertificateSigningRequest {
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.into_bytes()),
            signer_name: whose.signer().to_owned(),
            usages: Some(vec!["client auth".to_owned(), "digital signature".to_owned()]),
            expiration_seconds: Some(LIFETIME_SECONDS),
            ..CertificateSigningRequestSpec::default()
        },
        ..CertificateSigningRequest::default()
    };
    object.metadata.generate_name = Some(format!("muster-{}-{name}-", whose.as_str()));
    if !serial.is_empty() {
        object.annotations_mut().insert(SERIAL.to_owned(), serial.to_owned());
    }
    object
}

/// Asks under the identity of `client` for a certificate of machine `name`.
pub(super) async fn certificate(
    client: &Client,
    server: &str,
    whose: Whose,
    name: &str,
    serial: &str,
) -> Result<Outcome, JoinError> {
    let key = KeyPair::generate().map_err(JoinError::Request)?;
    let wanted = object(whose, name, serial, request(whose, name, &key).map_err(JoinError::Request)?);
    let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
    let created =
        requests.create(&PostParams::default(), &wanted).await.map_err(|error| api(server, error))?;
    let own = created.name_any();
    let decided = await_condition(requests, &own, |seen: Option<&CertificateSigningRequest>| {
        seen.is_none_or(|seen| outcome(seen, server).is_some())
    });
    let seen = match tokio::time::timeout(DECIDED_WITHIN, decided).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(_)) | Err(_) => None,
    };
    let undecided = || JoinError::Undecided { server: server.to_owned() };
    match seen.as_ref().and_then(|seen| outcome(seen, server)).ok_or_else(undecided)?? {
        Answer::Certificate(certificate) => Ok(Outcome::Issued { certificate, key: key.serialize_pem() }),
        Answer::ExpectedAs(name) => Ok(Outcome::ExpectedAs(name)),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Certificate(String),
    ExpectedAs(String),
}

/// The answer, once there is one.
fn outcome(request: &CertificateSigningRequest, server: &str) -> Option<Result<Answer, JoinError>> {
    let status = request.status.as_ref()?;
    if let Some(certificate) = status.certificate.as_ref().filter(|bytes| !bytes.0.is_empty()) {
        return Some(Ok(Answer::Certificate(String::from_utf8_lossy(&certificate.0).into_owned())));
    }
    let no =
        |condition: &&CertificateSigningRequestCondition| ["Denied", "Failed"].contains(&&*condition.type_);
    let condition = status.conditions.iter().flatten().find(no)?;
    let reason = condition.reason.clone().unwrap_or_default();
    let message = condition.message.clone().unwrap_or_default();
    if reason == EXPECTED_AS
        && let Some((name, _)) = message.split_once(": ")
    {
        return Some(Ok(Answer::ExpectedAs(name.to_owned())));
    }
    Some(Err(JoinError::Denied { server: server.to_owned(), reason, message }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer as _;

    use super::*;

    fn answer(status: &serde_json::Value) -> Option<Result<Answer, JoinError>> {
        let spec = json!({"request": "", "signerName": Whose::Agent.signer()});
        let request = json!({"metadata": {"name": "r"}, "spec": spec, "status": status});
        outcome(&serde_json::from_value(request).unwrap(), "https://c")
    }

    #[test]
    fn a_request_is_open_until_it_is_signed_denied_or_known_under_another_name() {
        assert!(answer(&json!({})).is_none());
        assert!(answer(&json!({"conditions": [{"type": "Approved", "status": "True"}]})).is_none());
        let signed = answer(&json!({"certificate": "Y2VydA=="})).unwrap().unwrap();
        assert_eq!(signed, Answer::Certificate("cert".to_owned()));
        let denied = |reason: &str, message: &str| {
            let row = json!({"type": "Denied", "status": "True", "reason": reason, "message": message});
            answer(&json!({"conditions": [row]})).unwrap()
        };
        let known = denied(EXPECTED_AS, "db-01: the serial is that of this machine").unwrap();
        assert_eq!(known, Answer::ExpectedAs("db-01".to_owned()));
        let error = denied("NotExpected", "import it first").unwrap_err();
        assert_eq!(
            error.to_string(),
            "https://c does not let this machine join (NotExpected): import it first"
        );
        assert!(error.is_refusal());
    }

    #[test]
    fn a_request_names_the_machine_and_the_group_of_agents_or_doctors() {
        for (whose, user, group) in [
            (Whose::Agent, "CN=system:node:m1.rack-a", "O=system:nodes"),
            (Whose::Doctor, "CN=system:muster:doctor:m1.rack-a", "O=system:muster:doctor"),
        ] {
            let pem = request(whose, "m1.rack-a", &KeyPair::generate().unwrap()).unwrap();
            let der = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1;
            let (_, parsed) = X509CertificationRequest::from_der(&der.contents).unwrap();
            let subject = parsed.certification_request_info.subject.to_string();
            assert!(subject.split(", ").eq([user, group]), "{subject}");
        }
    }
}
