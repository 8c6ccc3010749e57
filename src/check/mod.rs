//! Schedule against Problem: balance, limits, dynamics, money recomputed. Shares no code with `plan`.

use crate::model::{CheckReport, Problem, Solution};

/// Re-checks and re-costs a solution independently.
pub fn check(_problem: &Problem, _solution: &Solution) -> CheckReport {
    todo!()
}
