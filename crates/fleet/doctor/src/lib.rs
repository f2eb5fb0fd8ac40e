//! Detectors; they file Problems and do nothing else.
