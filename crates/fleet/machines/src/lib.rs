//! Sites, machines, inventory, roles, the disruption ledger.
