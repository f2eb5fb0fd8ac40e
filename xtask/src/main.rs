//! Development tasks: `cargo xtask <task>`.

mod tables;

use std::error::Error;

use clap::Parser;

#[derive(Debug, Parser)]
enum Task {
    /// Generate the tables of built-in types.
    Tables(tables::Args),
}

fn main() -> Result<(), Box<dyn Error>> {
    match Task::parse() {
        Task::Tables(args) => tables::run(&args),
    }
}
