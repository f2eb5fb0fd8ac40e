//! The controllers of the fleet at scale: `cargo run --release --example controllers -- sweep MACHINES`,
//! `-- problems MACHINES` or `-- runs RUNS`.
#![expect(clippy::print_stdout, reason = "a measuring program prints its figures")]

mod problems;
mod runs;
mod stage;
mod sweep;

use std::error::Error;

const USAGE: &str =
    "usage: controllers sweep MACHINES | controllers problems MACHINES | controllers runs RUNS";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let what = words.next().ok_or(USAGE)?;
    let count = words.next().ok_or(USAGE)?.parse()?;
    match what.as_str() {
        "sweep" => sweep::run(count).await,
        "problems" => problems::run(count).await,
        "runs" => runs::run(count).await,
        _ => Err(USAGE.into()),
    }
}
