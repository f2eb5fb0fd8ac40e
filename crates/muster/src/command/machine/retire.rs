//! `muster machine retire`.

use std::collections::BTreeMap;

use kube::Api;
use muster_api::Machine;
use muster_api::machine::Phase;
use muster_api::workflow::RunSpec;
use muster_workflow::builtin::{RETIRE, RETIRE_ERASED};

use crate::cli::intake::RetireArgs;
use crate::client::connect;
use crate::command::run;
use crate::failure::Failure;
use crate::output;

pub(crate) async fn retire(args: RetireArgs) -> Result<(), Failure> {
    let name = args.name;
    let client = connect(&args.client).await?;
    let machine = Api::<Machine>::all(client.clone())
        .get(&name)
        .await
        .map_err(|error| Failure::api(format!("machine {name}"), &error))?;
    if machine.status.is_some_and(|status| status.phase == Phase::Retired) {
        return Err(Failure::Refused(format!("machine {name} is Retired already; nothing is done")));
    }
    let mut parameters = BTreeMap::from([("reason".to_owned(), args.reason)]);
    let workflow = if args.erase_disk.is_empty() {
        RETIRE
    } else {
        parameters.insert("disks".to_owned(), args.erase_disk.join(","));
        RETIRE_ERASED
    };
    let spec = RunSpec { workflow: workflow.to_owned(), machine: name, parameters, ..RunSpec::default() };
    let run = run::accepted(&client, None, spec).await?;
    output::text(&format!(
        "run {run} is accepted; it begins once a person agrees: muster run approve {run} --step allowed\n"
    ))
}
