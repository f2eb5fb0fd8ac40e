//! Tests over the real server.
