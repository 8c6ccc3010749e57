//! Readings → [`Snapshot`], the process image of one cycle: staleness, plausibility, fallback formulas. Pure.
//!
//! What is not believable becomes a [`Doubt`] and loses its value; what is old stays visible but is not usable.

use crate::model::{ControllerState, Quantity, Scan, Snapshot};
use crate::reading::{Quality, Reading};
use crate::site::{Id, Kind, Plant};
use crate::time::Timestamp;
use crate::units::Power;
use chrono::TimeDelta;
use std::collections::BTreeMap;

pub mod books;
mod plausible;
pub mod sessions;

/// Freezes one cycle. `state.accepted` is the memory of the plausibility checks.
pub fn snapshot(plant: &Plant, scan: &Scan, state: &mut ControllerState, now: Timestamp) -> Snapshot {
    let mut components: BTreeMap<Id, BTreeMap<Quantity, Reading<f64>>> = BTreeMap::new();
    let mut doubts = Vec::new();
    for m in &scan.measurements {
        let aged = m.reading.aged(now, max_age(plant, m.quantity));
        let checked = plausible::check(plant, &m.component, m.quantity, aged, &mut state.accepted, &mut doubts);
        components
            .entry(m.component.clone())
            .or_default()
            .insert(m.quantity, checked);
    }
    let grid = plant
        .connection
        .as_ref()
        .map(|c| power_reading(&components, &c.meter, now));
    let mut snapshot = Snapshot {
        at: now,
        components,
        grid,
        residual: None,
        devices: scan.devices.clone(),
        doubts,
    };
    snapshot.residual = residual(plant, &snapshot, now);
    snapshot
}

/// Electric values are stale after two and a half cycles (so that a silent device shows within three); what moves slowly
/// may be older.
pub fn max_age(plant: &Plant, quantity: Quantity) -> TimeDelta {
    let fast = (plant.timing.cycle * 5 / 2).max(TimeDelta::milliseconds(2_500));
    match quantity {
        Quantity::EnergyImport
        | Quantity::EnergyExport
        | Quantity::TankTemperature
        | Quantity::RoomTemperature
        | Quantity::OutdoorTemperature
        | Quantity::Frequency => fast.max(TimeDelta::minutes(3)),
        Quantity::StateOfCharge => fast.max(TimeDelta::seconds(60)),
        _ => fast,
    }
}

fn power_reading(
    components: &BTreeMap<Id, BTreeMap<Quantity, Reading<f64>>>,
    id: &Id,
    now: Timestamp,
) -> Reading<Power> {
    match components.get(id).and_then(|q| q.get(&Quantity::ActivePower)) {
        Some(r) => r.map(Power::kw),
        None => Reading::missing(now),
    }
}

/// The one load that no device measures: grid (zero on an island) minus every measured component. `None` where there is no
/// such load, or more than one.
fn residual(plant: &Plant, snapshot: &Snapshot, now: Timestamp) -> Option<Reading<Power>> {
    unmetered_load(plant, snapshot)?;
    let grid = match &snapshot.grid {
        Some(reading) => reading.usable().map(|p| p.as_kw()),
        None => Some(0.0),
    };
    let mut sum = grid;
    for (id, c) in &plant.components {
        if matches!(c.kind, Kind::Meter(_)) || is_unmetered(snapshot, id, &c.kind) {
            continue;
        }
        sum = sum.zip(snapshot.power(id)).map(|(s, p)| s - p.as_kw());
    }
    Some(match sum {
        Some(kw) => Reading::derived(Power::kw(kw.max(0.0)), now),
        None => Reading::missing(now),
    })
}

/// The fixed load without a device, if there is exactly one.
pub fn unmetered_load<'p>(plant: &'p Plant, snapshot: &Snapshot) -> Option<&'p Id> {
    let mut loads = plant
        .components
        .iter()
        .filter(|(id, c)| is_unmetered(snapshot, id, &c.kind));
    let (first, _) = loads.next()?;
    if loads.next().is_some() { None } else { Some(first) }
}

fn is_unmetered(snapshot: &Snapshot, id: &Id, kind: &Kind) -> bool {
    matches!(kind, Kind::Load(_)) && !snapshot.devices.iter().any(|d| d.components.contains(id))
}

/// Quality for display of a component as a whole: that of its power.
pub fn quality(snapshot: &Snapshot, id: &Id) -> Quality {
    snapshot
        .reading(id, Quantity::ActivePower)
        .map_or(Quality::Missing, Reading::quality)
}
