//! What the forecaster remembers: 15-minute means of every series, and how well it did.

use crate::model::{ControllerState, Forecast, OpenSlot, Quantity, SLOT_S, Score, Snapshot};
use crate::reading::Quality;
use crate::site::{Id, Kind, Plant};
use crate::time::{Timestamp, floor_to};
use chrono::TimeDelta;

/// A slot counts only if this share of it was measured.
const COVERED: f64 = 0.6;

/// Takes one cycle's measurements into memory. `dt` is the time since the last cycle.
pub fn observe(plant: &Plant, snapshot: &Snapshot, state: &mut ControllerState, dt: TimeDelta) {
    let now = snapshot.at;
    for (id, c) in &plant.components {
        let (name, value) = match &c.kind {
            Kind::Load(_) => (format!("load/{id}"), load_kw(snapshot, id)),
            Kind::SheddableLoad(_) => (format!("load/{id}"), served_kw(snapshot, id)),
            Kind::Pv(p) => (
                format!("pv/{id}"),
                unlimited_pv_kw(snapshot, state, id, p.inverter_max.as_kw()),
            ),
            Kind::HeatPump(_) => (
                "outdoor".to_owned(),
                snapshot.measured(id, Quantity::OutdoorTemperature),
            ),
            _ => continue,
        };
        add(state, &name, value, now, dt);
    }
}

fn load_kw(snapshot: &Snapshot, id: &Id) -> Option<f64> {
    let own = snapshot.measured(id, Quantity::ActivePower);
    let rest = snapshot.residual.filter(|r| r.quality() != Quality::Held);
    own.or_else(|| rest.and_then(|r| r.usable()).map(|p| p.as_kw()))
}

/// A shed load says nothing about what it wants.
fn served_kw(snapshot: &Snapshot, id: &Id) -> Option<f64> {
    let on = snapshot.usable(id, Quantity::Running).is_none_or(|r| r > 0.5);
    if on {
        snapshot.measured(id, Quantity::ActivePower)
    } else {
        None
    }
}

/// Generation (negative at night, when inverters draw a few watts), unless a limit of ours held it back: curtailed hours
/// must not teach that panels produce less.
fn unlimited_pv_kw(snapshot: &Snapshot, state: &ControllerState, id: &Id, most: f64) -> Option<f64> {
    let kw = -snapshot.measured(id, Quantity::ActivePower)?;
    let limit = match state.last.get(id).map(|l| l.target) {
        Some(crate::model::Target::PowerLimit(p)) => p.as_kw(),
        _ => f64::INFINITY,
    };
    let held = limit < most && kw >= 0.95 * limit - 0.05;
    if held { None } else { Some(kw) }
}

fn add(state: &mut ControllerState, name: &str, value: Option<f64>, now: Timestamp, dt: TimeDelta) {
    let start = floor_to(now, TimeDelta::seconds(SLOT_S));
    let fresh = OpenSlot {
        start,
        sum: 0.0,
        weight_s: 0.0,
    };
    let open = state.forecast.open.entry(name.to_owned()).or_insert(fresh);
    if open.start != start {
        let closed = std::mem::replace(open, fresh);
        close(state, name, closed);
    }
    if let (Some(v), Some(open)) = (value, state.forecast.open.get_mut(name)) {
        let s = dt.as_seconds_f64();
        open.sum += v * s;
        open.weight_s += s;
    }
}

fn close(state: &mut ControllerState, name: &str, slot: OpenSlot) {
    let covered = slot.weight_s >= COVERED * SLOT_S as f64;
    let mean = covered.then(|| slot.sum / slot.weight_s);
    state.forecast.put_slot(name, slot.start, mean.map(|m| m as f32));
    let Some(score) = state.forecast.scores.get_mut(name) else {
        return;
    };
    let said = score.pending.remove(&slot.start);
    if let (Some(said), Some(mean)) = (said, mean) {
        let h = SLOT_S as f64 / 3600.0;
        score.abs_error += (said - mean).abs() * h;
        score.abs_actual += mean.abs() * h;
    }
    score.pending.retain(|t, _| *t > slot.start);
}

/// Remembers what a forecast said, slot by slot, the first time it says something: that is what it is scored by.
pub fn issued(state: &mut ControllerState, forecast: &Forecast) {
    let loads = forecast.load.iter().map(|(id, q)| (format!("load/{id}"), q));
    let pvs = forecast.pv.iter().map(|(id, q)| (format!("pv/{id}"), q));
    for (name, series) in loads.chain(pvs) {
        let empty = || Score {
            abs_error: 0.0,
            abs_actual: 0.0,
            pending: Default::default(),
        };
        let score = state.forecast.scores.entry(name).or_insert_with(empty);
        for (interval, kw) in forecast.grid.intervals().zip(&series.mean) {
            let slot = floor_to(interval.start, TimeDelta::seconds(SLOT_S));
            score.pending.entry(slot).or_insert(*kw);
        }
    }
}
