//! `muster token create|list|revoke`: lets machines in.

mod prepare;

use std::collections::BTreeMap;
use std::io::Read as _;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, Config};
use muster_api::join::{Invitation, TOKEN_HASH, TOKEN_NAMESPACE, TOKEN_PREFIX, TOKEN_TYPE, token_parts};
use muster_api::{Machine, MachineRole, Site};
use muster_control::is_not_found;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cli::intake::{TokenCreateArgs, TokenRevokeArgs};
use crate::cli::{Format, OutputArgs};
use crate::client::{config_of, connect};
use crate::failure::Failure;
use crate::output;

/// A token lasts at most a week.
const TTL_SECONDS_MAX: u64 = 7 * 86_400;

/// Whose API it is: Muster's own keeps a token's hash only, any other needs the token itself to know it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Own,
    Foreign,
}

pub(crate) async fn create(args: TokenCreateArgs) -> Result<(), Failure> {
    if args.ttl.0.is_zero() || TTL_SECONDS_MAX < args.ttl.0.as_secs() {
        return Err(Failure::Refused("--ttl must be more than nothing and at most 168h".to_owned()));
    }
    let expires = crate::command::clock()
        .now()
        .checked_add(args.ttl.0)
        .map_err(|error| Failure::failed("--ttl", &error))?;
    let config = config_of(&args.client).await?;
    let client = connect(&args.client).await?;
    let invitation = Invitation {
        machine: args.machine.clone().unwrap_or_default(),
        site: args.site.clone().unwrap_or_default(),
        role: args.role.clone().unwrap_or_default(),
    };
    judge(&client, &invitation).await?;
    let engine = engine(&client).await?;
    let hash = ca_hash(&config)?;
    let server = args.server.clone().unwrap_or_else(|| config.cluster_url.to_string());
    let server = server.trim_end_matches('/').to_owned();
    prepare::prepare(&client, &config, &server, engine).await?;
    let (id, secret) = (random(6)?, random(16)?);
    let object = secret_of(&id, &secret, expires, &invitation, engine);
    let api: Api<Secret> = Api::namespaced(client, TOKEN_NAMESPACE);
    api.create(&PostParams::default(), &object)
        .await
        .map_err(|error| Failure::api("the token cannot be kept", &error))?;
    print(&args, &server, &format!("{id}.{secret}"), &hash, expires)
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn print(
    args: &TokenCreateArgs,
    server: &str,
    token: &str,
    hash: &str,
    expires: Timestamp,
) -> Result<(), Failure> {
    let expires = seconds(expires);
    if args.output == Format::Json || args.output == Format::Yaml {
        let value = json!({"token": token, "server": server, "caHash": hash, "expires": expires});
        return output::object(&value, args.output);
    }
    let whom = args.machine.as_ref().map_or("one machine".to_owned(), |name| format!("machine {name}"));
    output::text(&format!(
        "This token lets {whom} in, once, until {expires}. On that machine, as root:\n\n  muster agent --server {server} --token {token} --ca-hash {hash}\n"
    ))?;
    let loopback = ["https://127.", "https://localhost", "https://[::1]"];
    if loopback.iter().any(|prefix| server.starts_with(prefix)) {
        output::text(
            "\nThe address is that of this machine alone: let the API listen where others reach it (muster up --listen), or name another address with --server.\n",
        )?;
    }
    Ok(())
}

/// What the token would promise must be there.
async fn judge(client: &Client, invitation: &Invitation) -> Result<(), Failure> {
    let missing = |kind: &str, name: &str| {
        Failure::Refused(format!("there is no {kind} {name:?}; create it or correct the name"))
    };
    let failure = |error: kube::Error| Failure::api("cannot read what the token names", &error);
    let Invitation { machine, site, role } = invitation;
    let sites = Api::<Site>::all(client.clone());
    if !site.is_empty() && sites.get_opt(site).await.map_err(failure)?.is_none() {
        return Err(missing("Site", site));
    }
    let roles = Api::<MachineRole>::all(client.clone());
    if !role.is_empty() && roles.get_opt(role).await.map_err(failure)?.is_none() {
        return Err(missing("MachineRole", role));
    }
    let machines = Api::<Machine>::all(client.clone());
    if !machine.is_empty() && site.is_empty() && machines.get_opt(machine).await.map_err(failure)?.is_none() {
        return Err(Failure::Refused(format!(
            "there is no Machine {machine:?}; import it first, or name the site it is to be taken in at with --site"
        )));
    }
    Ok(())
}

async fn engine(client: &Client) -> Result<Engine, Failure> {
    let version = client
        .apiserver_version()
        .await
        .map_err(|error| Failure::api("cannot ask the API for its version", &error))?;
    Ok(if version.git_version.contains("+muster") { Engine::Own } else { Engine::Foreign })
}

fn ca_hash(config: &Config) -> Result<String, Failure> {
    let hash = config.root_cert.iter().flatten().find_map(|der| muster_agent::join::ca_hash(der));
    hash.ok_or_else(|| {
        Failure::Refused(
            "the kubeconfig names no certificate authority, so none can be told to a new machine".to_owned(),
        )
    })
}

fn random(length: usize) -> Result<String, Failure> {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut source = std::fs::File::open("/dev/urandom")
        .map_err(|error| Failure::failed("cannot open /dev/urandom", &error))?;
    let mut text = String::new();
    let mut byte = [0_u8];
    while text.len() < length {
        source.read_exact(&mut byte).map_err(|error| Failure::failed("cannot read /dev/urandom", &error))?;
        // 252 is the largest multiple of 36 in a byte: each letter is as likely as any other.
        if byte[0] < 252 {
            text.push(char::from(LETTERS[usize::from(byte[0]) % LETTERS.len()]));
        }
    }
    Ok(text)
}

fn secret_of(id: &str, secret: &str, expires: Timestamp, invitation: &Invitation, engine: Engine) -> Secret {
    let digest = Sha256::digest(secret.as_bytes());
    let hash: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let kept = match engine {
        Engine::Own => (TOKEN_HASH, hash.concat()),
        Engine::Foreign => ("token-secret", secret.to_owned()),
    };
    let rows = [
        ("token-id", id.to_owned()),
        kept,
        ("expiration", seconds(expires)),
        ("usage-bootstrap-authentication", "true".to_owned()),
        ("auth-extra-groups", invitation.groups().join(",")),
        ("description", "lets one machine join".to_owned()),
    ];
    let data: BTreeMap<String, ByteString> =
        rows.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).collect();
    let mut object = Secret { type_: Some(TOKEN_TYPE.to_owned()), data: Some(data), ..Secret::default() };
    object.metadata.name = Some(format!("{TOKEN_PREFIX}{id}"));
    object
}

fn text(secret: &Secret, key: &str) -> String {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key));
    bytes.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned()).unwrap_or_default()
}

/// The tokens that were not used yet; never their secret half.
pub(crate) async fn list(args: OutputArgs) -> Result<(), Failure> {
    const HEADER: [&str; 5] = ["id", "expires", "machine", "site", "role"];
    let api: Api<Secret> = Api::namespaced(connect(&args.client).await?, TOKEN_NAMESPACE);
    let params = ListParams::default().fields(&format!("type={TOKEN_TYPE}"));
    let secrets = api.list(&params).await.map_err(|error| Failure::api("cannot read the tokens", &error))?;
    let mut rows: Vec<[String; 5]> = Vec::new();
    for secret in &secrets.items {
        let groups: Vec<String> = text(secret, "auth-extra-groups").split(',').map(str::to_owned).collect();
        if let Some(Invitation { machine, site, role }) = Invitation::of_groups(&groups) {
            rows.push([text(secret, "token-id"), text(secret, "expiration"), machine, site, role]);
        }
    }
    if args.output == Format::Json || args.output == Format::Yaml {
        let object = |row: [String; 5]| {
            Value::Object(HEADER.into_iter().map(str::to_owned).zip(row.map(Value::from)).collect())
        };
        return output::items(rows.into_iter().map(object).collect(), args.output);
    }
    let head = HEADER.map(str::to_uppercase).to_vec();
    output::text(&output::columns(std::iter::once(head).chain(rows.into_iter().map(Vec::from))))
}

pub(crate) async fn revoke(args: TokenRevokeArgs) -> Result<(), Failure> {
    let id = token_parts(&args.id).map_or(args.id.as_str(), |(id, _)| id);
    let api: Api<Secret> = Api::namespaced(connect(&args.client).await?, TOKEN_NAMESPACE);
    let name = format!("{TOKEN_PREFIX}{id}");
    match api.get_opt(&name).await {
        Ok(Some(secret)) if secret.type_.as_deref() == Some(TOKEN_TYPE) => {}
        Ok(_) => {
            return Err(Failure::Refused(format!(
                "there is no token {id:?}; `muster token list` shows those there are"
            )));
        }
        Err(error) => return Err(Failure::api(format!("token {id}"), &error)),
    }
    match api.delete(&name, &DeleteParams::default()).await {
        Err(error) if !is_not_found(&error) => Err(Failure::api(format!("token {id}"), &error)),
        Ok(_) | Err(_) => output::text(&format!("token {id} lets nobody in any more\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_engine_keeps_the_hash_and_never_the_secret() {
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let invitation = Invitation { site: "a".into(), ..Invitation::default() };
        let own = secret_of("abc123", "0123456789abcdef", at, &invitation, Engine::Own);
        let data = own.data.as_ref().unwrap();
        assert!(!data.contains_key("token-secret") && text(&own, TOKEN_HASH).len() == 64);
        assert!(data.values().all(|value| !String::from_utf8_lossy(&value.0).contains("0123456789abcdef")));
        let groups = "system:bootstrappers:muster,system:bootstrappers:muster:site:a";
        assert_eq!(text(&own, "auth-extra-groups"), groups);
        let foreign = secret_of("abc123", "0123456789abcdef", at, &invitation, Engine::Foreign);
        assert_eq!(text(&foreign, "token-secret"), "0123456789abcdef");
    }

    #[test]
    fn random_text_is_as_long_as_asked_and_fits_a_token() {
        let token = format!("{}.{}", random(6).unwrap(), random(16).unwrap());
        assert!(token_parts(&token).is_some(), "{token}");
    }
}
