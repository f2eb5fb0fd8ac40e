//! From a machine to its controller.

use std::time::Duration;

use muster_api::Machine;
use muster_base::error::chain;

use crate::Context;
use crate::access;
use crate::address::Address;
use crate::bmc::{Bmc, Read, ReadError, connect};

/// A controller that is ready to be spoken with.
pub(crate) struct Line {
    pub(crate) bmc: Box<dyn Bmc>,
    pub(crate) address: Address,
}

/// Reads the machine's Secret; nothing is sent yet. One request may take as long as `limit`.
pub(crate) async fn open(context: &Context, machine: &Machine, limit: Duration) -> Read<Line> {
    let Some(bmc) = &machine.spec.bmc else {
        return Err(ReadError::Here("the machine has no spec.bmc: name its controller first".to_owned()));
    };
    let here = |error: &dyn std::error::Error| ReadError::Here(chain(error));
    let address: Address = bmc.address.parse().map_err(|error| here(&error))?;
    let access =
        access::read(&context.client, &bmc.secret_ref, &address).await.map_err(|error| here(&error))?;
    Ok(Line { bmc: connect(&address, access, limit)?, address })
}
