//! What a controller has counted since it started.

use crate::cycle::ports::Counts;

/// Running counts for reports.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub plans: u64,
    pub rejected: u64,
    /// Plans that were due but had to be replaced by a fallback rung, counted by interval.
    pub fallback: u64,
    pub solve_ms: Vec<f64>,
    pub writes_issued: u64,
    pub writes_verified: u64,
    pub writes_failed: u64,
    /// Cycles in which a limit held something back.
    pub binding_cycles: u64,
    pub cycles: u64,
}

/// Solve times kept for the report; a day has about a hundred plans.
const SOLVES_KEPT: usize = 4096;

impl Tally {
    pub(super) fn solved(&mut self, ms: f64) {
        if self.solve_ms.len() >= SOLVES_KEPT {
            self.solve_ms.drain(..SOLVES_KEPT / 2);
        }
        self.solve_ms.push(ms);
    }
    /// What every exit shows.
    pub fn counts(&self) -> Counts {
        Counts {
            cycles: self.cycles,
            plans: self.plans,
            rejected: self.rejected,
            writes_issued: self.writes_issued,
            writes_verified: self.writes_verified,
            writes_failed: self.writes_failed,
            last_solve_ms: self.solve_ms.last().copied(),
        }
    }
}
