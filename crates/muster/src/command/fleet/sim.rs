//! `muster sim fleet`.

use muster_rehearsal::{Mix, Options, STANDARD_MIX, rehearse};

use crate::cli::sim::SimFleetArgs;
use crate::failure::Failure;
use crate::output;

/// Plays, prints, and fails where something was broken.
pub(crate) fn fleet(args: &SimFleetArgs) -> Result<(), Failure> {
    if args.machines < args.sites {
        return Err(Failure::Refused(format!(
            "--sites {}: there are {} machines; a site has at least one",
            args.sites, args.machines
        )));
    }
    let (name, text) = match &args.mix {
        None => ("the standard mix".to_owned(), STANDARD_MIX.to_owned()),
        Some(path) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::Refused(format!("{name}: cannot be read: {error}")))?;
            (name, text)
        }
    };
    let mix = Mix::parse(&text).map_err(|error| Failure::Refused(format!("{name}: {error}")))?;
    let (machines, sites) = (args.machines as usize, args.sites as usize);
    let options =
        Options { crashes: args.crashes, ..Options::new(machines, sites, args.days, args.seed, mix) };
    let outcome = rehearse(&options);
    let text = serde_json::to_string_pretty(&outcome)
        .map_err(|error| Failure::failed("cannot print the outcome", &error))?;
    output::text(&format!("{text}\n"))?;
    match outcome.broken_invariants.as_slice() {
        [] if outcome.report_equals_truth => Ok(()),
        [] => Err(Failure::Failed("the report does not say what was true".to_owned())),
        broken => Err(Failure::Failed(format!("{} invariants were broken", broken.len()))),
    }
}
