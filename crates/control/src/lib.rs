//! Controller machinery over kube-rs.
