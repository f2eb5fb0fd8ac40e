//! The planners, for whoever has the world in memory: no I/O, and the time is an argument. The controllers of this
//! crate do nothing but read, ask these, write and obey.

pub use crate::many::breaker::{Case as Breaker, Member, Verdict, is_ever_tried, judge as breaker, speaks};
pub use crate::repair::climb::{Opening, Tried};
pub use crate::repair::policy::ticket;
pub use crate::repair::rates::{Book, Count, Rates};
pub use crate::run::NodeView;
pub use crate::run::call::{Answer, Call, Letter};
pub use crate::run::container::PodPlan;
pub use crate::run::effect::changed;
pub use crate::run::plan::{
    ContainerSeen, Effect, Enter, MachineChange, Plan as Round, PodKey, PodSeen, World as Around,
    destruction_name, grant_name, plan as round,
};
pub use crate::run::step::order_names;
pub use crate::start::plan::{Plan as Wanted, REPAIR, World as Known, is_repair_of, plan as wanted};
