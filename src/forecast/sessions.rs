//! Charging sessions: cars that are here now, with what they still need.

use crate::model::{ControllerState, ExpectedSession};
use crate::site::{Id, Kind, Plant};
use crate::time::{TimeGrid, Timestamp};
use std::collections::BTreeMap;

/// Sessions by charge point, those now plugged in. Cars that may come are not planned for: their energy is not promised.
pub fn forecast(
    plant: &Plant,
    state: &ControllerState,
    grid: &TimeGrid,
    now: Timestamp,
) -> BTreeMap<Id, Vec<ExpectedSession>> {
    let mut all = BTreeMap::new();
    for (id, c) in &plant.components {
        let Kind::ChargePoint(_) = &c.kind else { continue };
        let Some(s) = state.sessions.get(id) else { continue };
        let energy_kwh = (s.energy - s.delivered).as_kwh().max(0.0);
        if energy_kwh > 0.0 && s.departure > now && s.departure > grid.start {
            let session = ExpectedSession {
                arrival: s.since,
                departure: s.departure,
                energy_kwh,
                expected: false,
            };
            all.insert(id.clone(), vec![session]);
        }
    }
    all
}
