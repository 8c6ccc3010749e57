//! Readings → [`Snapshot`], the process image of one cycle: staleness, plausibility, fallback formulas. Pure.

use crate::model::{ControllerState, Scan, Snapshot};
use crate::site::Plant;
use crate::time::Timestamp;

/// Freezes one cycle. `state.accepted` is the memory of the plausibility checks.
pub fn snapshot(_plant: &Plant, _scan: &Scan, _state: &mut ControllerState, _now: Timestamp) -> Snapshot {
    todo!()
}
