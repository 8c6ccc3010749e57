//! Fast loop and slow loop: the only room that strings the pure ones together.
//!
//! In: what the [`FieldPort`] scans, what people say, prices. Out: setpoints to the field, records to the journal, one
//! [`CycleReport`] a cycle to whoever listens. Owns the one `ControllerState`. Never reads a clock: every call is
//! handed its `now`. One loop serves real, accelerated and virtual time and every policy.

mod alarms;
mod answers;
mod controller;
mod delta;
mod even;
mod kept;
mod people;
mod planner;
mod ports;
mod recovery;
mod reply;
mod run;
mod series;

pub use answers::Answer;
pub use controller::{Aside, CLOCK_WRONG, Config, Controller, Oracle, Tally};
pub use delta::Delta;
pub use kept::{Claim, Kept, Notice, Told, aside};
pub use people::{NotDone, unknown as unknown_component};
pub use planner::{PlanInput, PlanOutcome, Planner, alternative, make_plan, price_sides};
pub use ports::*;
pub use recovery::{Recovery, recover};
pub use reply::{Effect, InForce, Note, Reply};
pub use run::{Beat, Heard, Stop, run};
pub use series::{Sample, help, rung_number, samples, split_key};
