//! Service-account tokens, bound to their pod and renewed before they run out.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ServiceAccount, ServiceAccountTokenProjection};
use kube::Api;
use kube::api::PostParams;

use super::Sources;

#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("cannot get a token of the service account {namespace}/{account}")]
    Request {
        namespace: String,
        account: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("no token of the service account {namespace}/{account} within {} s", LIMIT.as_secs())]
    TimedOut { namespace: String, account: String },
    #[error("the answer for the service account {namespace}/{account} holds no token")]
    Empty { namespace: String, account: String },
}

const LIMIT: Duration = Duration::from_secs(10);
const LIFETIME_SECONDS: i64 = 3600;

#[derive(Clone)]
pub(crate) struct Token {
    text: String,
    /// At four fifths of its life, as the kubelet does.
    renew: Timestamp,
}

/// The tokens of one pod, by volume and path.
pub(crate) type Tokens = BTreeMap<(String, String), Token>;

pub(super) async fn ensure(
    sources: &Sources<'_>,
    volume: &str,
    wanted: &ServiceAccountTokenProjection,
    tokens: &mut Tokens,
) -> Result<String, TokenError> {
    let key = (volume.to_owned(), wanted.path.clone());
    let now = sources.clock.now();
    if let Some(token) = tokens.get(&key).filter(|token| now < token.renew) {
        return Ok(token.text.clone());
    }
    let token = request(sources, wanted, now).await?;
    let text = token.text.clone();
    tokens.insert(key, token);
    Ok(text)
}

async fn request(
    sources: &Sources<'_>,
    wanted: &ServiceAccountTokenProjection,
    now: Timestamp,
) -> Result<Token, TokenError> {
    let pod = sources.facts.pod;
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let account = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.clone())
        .unwrap_or_else(|| "default".to_owned());
    let lifetime = wanted.expiration_seconds.unwrap_or(LIFETIME_SECONDS);
    let body = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: wanted.audience.clone().map(|audience| vec![audience]),
            expiration_seconds: Some(lifetime),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
            }),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let api: Api<ServiceAccount> = Api::namespaced(sources.client.clone(), &namespace);
    let answer =
        tokio::time::timeout(LIMIT, api.create_token_request(&account, &PostParams::default(), &body)).await;
    let answer = match answer {
        Err(_) => return Err(TokenError::TimedOut { namespace, account }),
        Ok(Err(source)) => return Err(TokenError::Request { namespace, account, source: Box::new(source) }),
        Ok(Ok(answer)) => answer,
    };
    let status = answer.status.unwrap_or_default();
    let text =
        status.token.filter(|token| !token.is_empty()).ok_or(TokenError::Empty { namespace, account })?;
    let expires =
        status.expiration_timestamp.map_or(now + SignedDuration::from_secs(lifetime), |time| time.0);
    let life = expires.duration_since(now).as_secs().max(60);
    Ok(Token { text, renew: now + SignedDuration::from_secs(life * 4 / 5) })
}
