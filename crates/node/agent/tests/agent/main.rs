//! The agent against a real containerd.
