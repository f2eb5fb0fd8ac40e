//! Comparison with upstream's own documents and programs, where the machine has them.

mod openapi;
mod strategic;
mod upstream;
