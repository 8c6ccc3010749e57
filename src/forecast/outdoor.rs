//! Outdoor temperature: the same hour yesterday moved by today's difference; with no history a climate by latitude.

use super::BySlot;
use super::slots::Slots;
use crate::model::{ControllerState, Quantity, SLOT_S, Snapshot};
use crate::site::{Kind, Plant};
use crate::time::Timestamp;
use chrono::{Datelike, TimeDelta, Timelike};

pub(crate) fn forecast(
    plant: &Plant,
    state: &ControllerState,
    snapshot: Option<&Snapshot>,
    slots: &Slots,
    now: Timestamp,
) -> BySlot {
    let measured = snapshot.and_then(|s| measured(plant, s));
    let known = |t: Timestamp| yesterday(state, t).unwrap_or_else(|| climate(plant, t));
    let difference = measured.map_or(0.0, |m| m - known(now));
    let mean = (0..slots.count)
        .map(|i| {
            let t = slots.at(i);
            let ahead = (t - now).as_seconds_f64().max(0.0) / 3600.0;
            known(t) + difference * (-ahead / 36.0).exp()
        })
        .collect();
    BySlot {
        mean,
        low: 1.0,
        high: 1.0,
        most: f64::INFINITY,
        model: "persistence",
    }
}

fn measured(plant: &Plant, snapshot: &Snapshot) -> Option<f64> {
    let mut pumps = plant
        .components
        .iter()
        .filter(|(_, c)| matches!(c.kind, Kind::HeatPump(_)));
    pumps.find_map(|(id, _)| snapshot.usable(id, Quantity::OutdoorTemperature))
}

/// The same time of the latest of the last three days that was measured.
fn yesterday(state: &ControllerState, t: Timestamp) -> Option<f64> {
    let h = state.forecast.series.get("outdoor")?;
    (1..=3).find_map(|d| {
        let index = (t - TimeDelta::days(d) - h.start).num_seconds().div_euclid(SLOT_S);
        let slot = h.slots.get(usize::try_from(index).ok()?)?;
        slot.map(f64::from)
    })
}

/// Mean by latitude and season with a daily swing; a placeholder until something is measured.
fn climate(plant: &Plant, t: Timestamp) -> f64 {
    let latitude = plant.location.latitude.as_degrees();
    let local = t.with_timezone(&plant.location.time_zone);
    let season = (f64::from(local.ordinal()) - 203.0) / 365.0 * std::f64::consts::TAU;
    let hour = (f64::from(local.hour()) - 15.0) / 24.0 * std::f64::consts::TAU;
    let mean = 27.0 - 0.33 * latitude.abs();
    let swing = 0.2 * latitude.abs() * latitude.signum();
    mean + swing * season.cos() + 3.5 * hour.cos()
}
