//! Revisioned keys, watch, durability. Knows no object type.
