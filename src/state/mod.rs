//! Readings → [`Snapshot`], the process image of one cycle: staleness, plausibility, fallback formulas. Pure.
//!
//! What is not believable becomes a [`Doubt`] and loses its value; what is old stays visible but is not usable.

use crate::model::{CommandProof, ControllerState, DeviceHealth, Doubt, DoubtKind, Quantity, Scan, Snapshot};
use crate::reading::{Quality, Reading};
use crate::site::{Id, Kind, Plant};
use crate::time::Timestamp;
use crate::units::Power;
use chrono::TimeDelta;
use std::collections::BTreeMap;

mod answer;
mod asleep;
mod balance;
pub mod books;
mod counters;
mod frozen;
mod meter;
mod plausible;
mod rising;
pub mod sessions;
mod steps;
pub mod worth;

/// Freezes one cycle. `state.accepted` is the memory of the plausibility checks.
pub fn snapshot(plant: &Plant, scan: &Scan, state: &mut ControllerState, now: Timestamp) -> Snapshot {
    let mut components: BTreeMap<Id, BTreeMap<Quantity, Reading<f64>>> = BTreeMap::new();
    let mut doubts = Vec::new();
    let emptied = plausible::emptied(&scan.measurements, &state.accepted);
    let before = accepted_powers(plant, state);
    for m in &scan.measurements {
        let max_age = max_age(plant, m.quantity);
        let mut judge = plausible::Judge {
            plant,
            now,
            max_age,
            accepted: &mut state.accepted,
            emptied: &emptied,
            suspicions: &mut state.suspicions,
            doubts: &mut doubts,
        };
        let believed = judge.check(&m.component, m.quantity, m.reading.aged(now, max_age));
        let checked = rising::published(plant, &mut state.counters, &m.component, m.quantity, believed);
        components
            .entry(m.component.clone())
            .or_default()
            .insert(m.quantity, checked);
    }
    let devices = asleep::rest(plant, &scan.devices, &mut components, &state.accepted, now);
    let mut image = Image {
        plant,
        now,
        max_age: max_age(plant, Quantity::ActivePower),
        devices: &devices,
        components: &mut components,
        before: &before,
        scan,
        state,
        doubts: &mut doubts,
    };
    answer::check(&mut image);
    frozen::check(&mut image);
    balance::check(&mut image);
    let astray = meter::check(&mut image);
    let grid = plant
        .connection
        .as_ref()
        .map(|c| power_reading(&components, &c.meter, now));
    let mut snapshot = Snapshot {
        at: now,
        components,
        grid,
        residual: None,
        rest: None,
        astray,
        devices,
        doubts,
    };
    snapshot.residual = residual(plant, &snapshot, now);
    snapshot.rest = rest(plant, &snapshot, now);
    snapshot
}

/// Powers believed up to now, by component.
fn accepted_powers(plant: &Plant, state: &ControllerState) -> BTreeMap<Id, (Timestamp, f64)> {
    let of = |id: &Id| state.accepted.get(&plausible::key(id, Quantity::ActivePower)?).copied();
    let ids = plant.components.keys();
    ids.filter_map(|id| Some((id.clone(), of(id)?))).collect()
}

/// All readings of a cycle while they are weighed against each other.
struct Image<'a> {
    plant: &'a Plant,
    now: Timestamp,
    max_age: TimeDelta,
    devices: &'a [DeviceHealth],
    components: &'a mut BTreeMap<Id, BTreeMap<Quantity, Reading<f64>>>,
    /// Powers believed before this cycle.
    before: &'a BTreeMap<Id, (Timestamp, f64)>,
    /// What the devices showed, before anything was doubted.
    scan: &'a Scan,
    state: &'a mut ControllerState,
    doubts: &'a mut Vec<Doubt>,
}

impl Image<'_> {
    fn reading(&self, id: &Id, quantity: Quantity) -> Option<&Reading<f64>> {
        self.components.get(id)?.get(&quantity)
    }
    fn usable(&self, id: &Id, quantity: Quantity) -> Option<f64> {
        self.reading(id, quantity)?.usable()
    }
    /// When the power was measured.
    fn at(&self, id: &Id) -> Timestamp {
        let reading = self.reading(id, Quantity::ActivePower);
        reading.map_or(self.now, Reading::at)
    }
    /// Powers measured and believed so far, not held over.
    fn powers(&self) -> Vec<(Id, f64)> {
        let power = |id: &Id| self.reading(id, Quantity::ActivePower).copied();
        let good = |r: Reading<f64>| r.usable().filter(|_| r.quality() != Quality::Held);
        let ids = self.plant.components.keys();
        ids.filter_map(|id| Some((id.clone(), good(power(id)?)?))).collect()
    }
    fn is_grid(&self, id: &Id) -> bool {
        self.plant.connection.as_ref().is_some_and(|c| c.meter == *id)
    }
    fn is_unmetered(&self, id: &Id) -> bool {
        let kind = self.plant.components.get(id).map(|c| &c.kind);
        kind.is_some_and(|k| is_unmetered(self.devices, id, k))
    }
    fn unmetered_load(&self) -> Option<Id> {
        unmetered(self.plant, self.devices).cloned()
    }
    /// What it was told has reached its device.
    fn was_told(&self, id: &Id) -> bool {
        let commands = self.devices.iter().flat_map(|d| &d.commands);
        let mut own = commands.filter(|c| c.component == *id && c.value.is_some());
        own.any(|c| matches!(c.proof, CommandProof::Verified | CommandProof::Pending))
    }
    /// The power is not believed.
    fn refuse(&mut self, id: &Id, kind: DoubtKind, why: String) {
        let at = self.at(id);
        if let Some(own) = self.components.get_mut(id) {
            own.insert(Quantity::ActivePower, Reading::invalid(at));
        }
        self.doubts.push(Doubt {
            component: id.clone(),
            quantity: Quantity::ActivePower,
            kind,
            why,
            why_ko: None,
        });
    }
    /// The same, told in both languages.
    fn refuse_in_both(&mut self, id: &Id, kind: DoubtKind, why: String, why_ko: String) {
        self.refuse(id, kind, why);
        if let Some(d) = self.doubts.last_mut() {
            d.why_ko = Some(why_ko);
        }
    }
    /// Something does not fit that concerns the power; its value stands.
    fn note(&mut self, id: &Id, kind: DoubtKind, why: String, why_ko: String) {
        self.doubts.push(Doubt {
            component: id.clone(),
            quantity: Quantity::ActivePower,
            kind,
            why,
            why_ko: Some(why_ko),
        });
    }
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
    let mut held = snapshot.grid.is_some_and(|g| g.quality() == Quality::Held);
    let grid = match &snapshot.grid {
        Some(reading) => reading.usable().map(|p| p.as_kw()),
        None => Some(0.0),
    };
    let mut sum = grid;
    for (id, c) in &plant.components {
        if matches!(c.kind, Kind::Meter(_)) || is_unmetered(&snapshot.devices, id, &c.kind) {
            continue;
        }
        held |= quality(snapshot, id) == Quality::Held;
        sum = sum.zip(snapshot.power(id)).map(|(s, p)| s - p.as_kw());
    }
    Some(match sum {
        Some(kw) => derived(kw, held, now),
        None => Reading::missing(now),
    })
}

fn derived(kw: f64, held: bool, now: Timestamp) -> Reading<Power> {
    let reading = Reading::derived(Power::kw(kw), now);
    if held { reading.held() } else { reading }
}

/// Grid (zero on an island) minus every power that is known.
fn rest(plant: &Plant, snapshot: &Snapshot, now: Timestamp) -> Option<Reading<Power>> {
    let (grid, mut held) = match &snapshot.grid {
        Some(g) => (g.usable().map(Power::as_kw), g.quality() == Quality::Held),
        None => (Some(0.0), false),
    };
    let Some(mut kw) = grid else {
        return Some(Reading::missing(now));
    };
    for (id, c) in &plant.components {
        if matches!(c.kind, Kind::Meter(_)) {
            continue;
        }
        if let Some(own) = snapshot.power(id) {
            kw -= own.as_kw();
            held |= quality(snapshot, id) == Quality::Held;
        }
    }
    Some(derived(kw, held, now))
}

/// The fixed load without a device, if there is exactly one.
pub fn unmetered_load<'p>(plant: &'p Plant, snapshot: &Snapshot) -> Option<&'p Id> {
    unmetered(plant, &snapshot.devices)
}

fn unmetered<'p>(plant: &'p Plant, devices: &[DeviceHealth]) -> Option<&'p Id> {
    let mut loads = plant
        .components
        .iter()
        .filter(|(id, c)| is_unmetered(devices, id, &c.kind));
    let (first, _) = loads.next()?;
    if loads.next().is_some() { None } else { Some(first) }
}

fn is_unmetered(devices: &[DeviceHealth], id: &Id, kind: &Kind) -> bool {
    matches!(kind, Kind::Load(_)) && !devices.iter().any(|d| d.components.contains(id))
}

/// Quality for display of a component as a whole: that of its power.
pub fn quality(snapshot: &Snapshot, id: &Id) -> Quality {
    snapshot
        .reading(id, Quantity::ActivePower)
        .map_or(Quality::Missing, Reading::quality)
}

#[cfg(test)]
mod meter_tests;
#[cfg(test)]
mod tests;
