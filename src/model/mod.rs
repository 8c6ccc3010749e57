//! What the rooms hand each other; plain data, serialisable, no behaviour beyond small accessors.
//!
//! `Measurement`s → [`Snapshot`] → ([`Forecast`] → [`Problem`] → [`Schedule`]) → [`Setpoint`]s; [`ControllerState`] is the
//! one thing that survives a cycle. Signs: power positive *into* the component, so `grid = Σ components`.

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

mod doubt;
mod explanation;
mod field;
mod forecast;
mod last_words;
mod ledger;
mod limits;
mod people;
mod problem;
mod reason;
mod said;
mod schedule;
mod setpoint;
mod snapshot;
mod state;

pub use doubt::*;
pub use explanation::*;
pub use field::*;
pub use forecast::*;
pub use last_words::*;
pub use ledger::*;
pub use limits::*;
pub use people::*;
pub use problem::*;
pub use reason::*;
pub use said::Said;
pub use schedule::*;
pub use setpoint::*;
pub use snapshot::*;
pub use state::*;
