//! Seeded histories on a disk that forgets, against a model of what must be there afterwards.

mod checkpoints;
mod faults;
mod harness;
mod schedules;
mod threaded;
