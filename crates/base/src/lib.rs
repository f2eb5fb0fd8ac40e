//! Ids, clock, quantities, error chains and task spawning. Knows nothing of Kubernetes.
