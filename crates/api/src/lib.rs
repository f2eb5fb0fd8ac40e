//! Every kind Muster adds to the Kubernetes API. No I/O.
