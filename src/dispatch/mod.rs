//! Schedule + Snapshot → Setpoints: envelope, value of stored energy, ramps, failsafe ladder, reasons. Pure.

use crate::model::{ControllerState, Policy, Rung, Setpoint, Snapshot};
use crate::site::Plant;
use crate::tariff::PriceSeries;
use crate::time::Timestamp;

/// What one cycle decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub setpoints: Vec<Setpoint>,
    pub rung: Rung,
    /// A limit at the connection point, a circuit or a fuse held something back in this cycle.
    pub binding: bool,
}

/// Decides all setpoints of this cycle. Updates only `state.last`, `state.rung`, `state.good_cycles`, `state.next_decision`
/// and the histories of generators and shiftable loads.
pub fn decide(
    _plant: &Plant,
    _policy: Policy,
    _snapshot: &Snapshot,
    _state: &mut ControllerState,
    _prices: Option<&PriceSeries>,
    _now: Timestamp,
) -> Decision {
    todo!()
}
