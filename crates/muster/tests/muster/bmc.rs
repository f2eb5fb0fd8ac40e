//! Real controllers: `ipmi_sim` and `sushy-emulator`, and the real binary killed where it hurts.

pub(crate) mod emulator;
pub(crate) mod fleet;
mod matrix;
mod redfish;
mod silence;
