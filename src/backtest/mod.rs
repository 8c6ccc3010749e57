//! Closed loop in virtual time: the same cycle, under every policy, on the same twin, billed by the same engine.
//!
//! In: a site, a seed, a date. Out: the day's [`Report`] (INTERFACE: `demo --once`). The controller (policy `plan`) runs
//! over in-memory Modbus under tokio's paused clock; the other policies run without the wire.

mod market;
mod modes;
mod money;
mod perfect;
mod report;
mod runs;
pub mod savings;
mod service;
pub mod stability;

pub use market::{Market, NoMarket};
pub use money::settle;
pub use report::{Limits, Report, once};
pub use runs::{Outcome, RunSpec, run_policy, run_watched};
pub use service::{Held, Missed, Service};
