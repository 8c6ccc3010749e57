//! Snapshot + Forecast → [`Problem`] → [`Solution`] → [`Schedule`]: variables, constraints, objective, solve, explain.
//! Sees `plant`, never `wiring`.

use crate::model::{ControllerState, Forecast, PlacedProblem, Problem, Schedule, Snapshot, Solution, Trigger};
use crate::site::Plant;
use crate::time::Timestamp;

/// How to solve.
#[derive(Debug, Clone, PartialEq)]
pub struct SolveOptions {
    /// `auto`, `clarabel` or `microlp`.
    pub solver: String,
    /// Wall-clock bound; `None` in virtual time and in `solve` unless given.
    pub deadline: Option<std::time::Duration>,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SolveError {
    #[error("{place}: {fault}")]
    BadProblem { place: String, fault: String },
    #[error("no solver gave a usable answer: {0}")]
    Failed(String),
    #[error("{0}")]
    Usage(String),
}

/// The dispatch problem of the site as it stands.
pub fn problem(_plant: &Plant, _snapshot: &Snapshot, _forecast: &Forecast, _state: &ControllerState) -> PlacedProblem {
    todo!()
}

/// Solves exactly the problem's objective.
pub fn solve(_problem: &Problem, _options: &SolveOptions) -> Result<Solution, SolveError> {
    todo!()
}

/// Places a solution on the site: signs, marginal values, explanation. `check` is filled in by the caller.
pub fn schedule(
    _plant: &Plant,
    _placed: &PlacedProblem,
    _solution: Solution,
    _forecast: &Forecast,
    _id: u64,
    _trigger: Trigger,
    _now: Timestamp,
) -> Schedule {
    todo!()
}
