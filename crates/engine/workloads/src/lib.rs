//! Deployments, ReplicaSets, DaemonSets, Services, namespaces, garbage collection.
