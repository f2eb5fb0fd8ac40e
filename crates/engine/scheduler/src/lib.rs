//! Placement as pure plans.
