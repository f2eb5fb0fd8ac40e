//! Who may do what over HTTP: the Kubernetes API on a store of objects.
//!
//! A request goes through credentials ([`authn`]), rights ([`authz`]), the verb on its resource, admission, checks and
//! one commit. Objects are kept and served as bytes ([`object`]); a list or watch never parses them. What is served
//! comes from the schema's catalog and from CustomResourceDefinitions alike. Webhooks have their say between; groups
//! of other servers are handed on to them.
//!
//! Entry points: [`ApiServer::build`], [`ApiServer::run`] (a port), [`InProcess`] (the same router without a socket),
//! [`pki::Pki`] (keys, certificates, kubeconfigs), [`bootstrap::component_role`], [`bulk`] (many objects in one request).
//!
//! Deliberately not here: controllers, the scheduler, nodes (except [`NodeDialer`], the way to them), how bytes
//! become durable, what a type is. Not done yet, and refused by name: server-side apply (415), and with it
//! managed fields, which are dropped; exec, attach, port-forward, proxies; admission policies.

mod admission;
pub mod authn;
pub mod authz;
pub mod bootstrap;
mod discovery;
mod extend;
pub mod object;
pub mod pki;
mod request;
mod rest;
mod server;
pub mod status;

pub use authn::Identity;
pub use object::Object;
pub use rest::create::bulk::client as bulk;
pub use server::{
    AgentDialer, ApiServer, ByteStream, Config, DialError, EXPOSITION_TYPE, FollowLog, InProcess,
    ListenError, LogOptions, Metrics, NoNodes, NodeDialer, Parts, Previous, ReplyBody, Timestamps, Tls,
};
