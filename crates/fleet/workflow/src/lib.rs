//! Durable runs, steps, the sweep.
