//! The server over its in-process service, over TLS, and under real clients.

mod admission;
mod aggregation;
mod bulk;
mod crud;
mod custom;
mod discovery;
mod harness;
mod kubectl;
mod lists;
mod rights;
mod secrets;
mod sockets;
mod specials;
mod watches;
mod webhook_server;
mod webhooks;
