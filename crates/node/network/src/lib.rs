//! CNI, service proxy, cluster DNS.
