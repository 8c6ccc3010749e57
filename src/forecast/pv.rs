//! PV: the sun's clear-sky power on the plane, times a clearness learnt from full days, nudged by the last two hours.

use super::BySlot;
use super::slots::Slots;
use crate::model::{ControllerState, SLOT_S, SeriesMemory};
use crate::site::{Id, Plant, Pv};
use crate::time::Timestamp;
use chrono::TimeDelta;
use solar_positioning::{Location, SolarPositions};

/// Share of clear-sky energy a day yields on average in temperate climates; replaced by what is measured.
const PRIOR_CLEARNESS: f64 = 0.60;
/// Days' worth of trust in the prior.
const TRUST_PRIOR: f64 = 2.0;
/// Days used to learn clearness; days this old count half.
const HALF_LIFE_D: f64 = 5.0;
const NOWCAST_H: f64 = 3.0;

/// Forecast of available PV, kW ≥ 0.
pub(crate) fn forecast(
    plant: &Plant,
    state: &ControllerState,
    id: &Id,
    pv: &Pv,
    slots: &Slots,
    now: Timestamp,
) -> BySlot {
    let history = state.forecast.series.get(&format!("pv/{id}"));
    let place = Location {
        latitude: plant.location.latitude.as_degrees(),
        longitude: plant.location.longitude.as_degrees(),
    };
    let clear = |t: Timestamp| clear_sky_kw(pv, place, t + TimeDelta::seconds(SLOT_S / 2));
    let (usual, days) = clearness(history, &clear, now);
    let nowcast = nowcast(history, &clear, usual, now);
    let most = pv.inverter_max.as_kw();
    let mean = (0..slots.count)
        .map(|i| {
            let t = slots.at(i);
            let ahead = (t - now).as_seconds_f64().max(0.0) / 3600.0;
            let share = usual * (1.0 + (nowcast - 1.0) * (-ahead / NOWCAST_H).exp());
            (clear(t) * share).clamp(0.0, most)
        })
        .collect();
    let model = match (days > 0.3, nowcast == 1.0) {
        (false, true) => "cold start",
        (_, false) => "clear sky × clearness + nowcast",
        (true, true) => "clear sky × clearness",
    };
    BySlot {
        mean,
        low: 0.35,
        high: 1.6,
        most,
        model,
    }
}

/// AC power under a clear sky: Haurwitz global, a fixed diffuse share, isotropic sky, −12 % losses.
fn clear_sky_kw(pv: &Pv, place: Location, t: Timestamp) -> f64 {
    let Ok(sun) = SolarPositions::grena3().at(&t, place, 0.0, 69.0, None) else {
        return 0.0;
    };
    let zenith = sun.zenith_angle().to_radians();
    let cosz = zenith.cos();
    if cosz <= 0.02 {
        return 0.0;
    }
    let ghi = 1098.0 * cosz * (-0.057 / cosz).exp();
    let diffuse = 0.18 * ghi;
    let (tilt, azimuth) = (pv.tilt.as_degrees().to_radians(), pv.azimuth.as_degrees().to_radians());
    let turn = (sun.azimuth().to_radians() - azimuth).cos();
    let incidence = zenith.cos() * tilt.cos() + zenith.sin() * tilt.sin() * turn;
    let beam = ((ghi - diffuse) * incidence.max(0.0) / cosz.max(0.05)).min(1100.0);
    let poa = beam + diffuse * (1.0 + tilt.cos()) / 2.0 + 0.2 * ghi * (1.0 - tilt.cos()) / 2.0;
    (pv.peak.as_kw() * poa / 1000.0 * 0.86).min(pv.inverter_max.as_kw())
}

/// Energy of past days against clear sky (shrunk to the prior), and the weight of days behind it.
fn clearness(history: Option<&SeriesMemory>, clear: &dyn Fn(Timestamp) -> f64, now: Timestamp) -> (f64, f64) {
    let Some(h) = history else {
        return (PRIOR_CLEARNESS, 0.0);
    };
    let (mut measured, mut possible) = (0.0, 0.0);
    let from = h.slots.len().saturating_sub(14 * 96);
    for (i, v) in h.slots.iter().enumerate().skip(from) {
        let t = h.start + TimeDelta::seconds(SLOT_S * i as i64);
        let Some(v) = v else { continue };
        let sun = clear(t);
        // what an inverter draws at night says nothing of the sun
        if sun <= 0.0 {
            continue;
        }
        let w = 0.5f64.powf((now - t).as_seconds_f64() / 86_400.0 / HALF_LIFE_D);
        measured += w * f64::from(*v);
        possible += w * sun;
    }
    // One clear day is about 6 full-power hours, 24 slots.
    let day = 24.0 * clear_peak(clear, now);
    let days = if day > 0.0 { possible / day } else { 0.0 };
    let trust = TRUST_PRIOR * day;
    if possible + trust <= 0.0 {
        return (PRIOR_CLEARNESS, 0.0);
    }
    (
        ((measured + PRIOR_CLEARNESS * trust) / (possible + trust)).clamp(0.05, 1.2),
        days,
    )
}

fn clear_peak(clear: &dyn Fn(Timestamp) -> f64, now: Timestamp) -> f64 {
    (0..24).map(|h| clear(now - TimeDelta::hours(h))).fold(0.0, f64::max)
}

/// Ratio of the last two hours to what was usual for them, 0.3 to 1.7; 1 where the sun was too low to tell.
fn nowcast(history: Option<&SeriesMemory>, clear: &dyn Fn(Timestamp) -> f64, usual: f64, now: Timestamp) -> f64 {
    let Some(h) = history else { return 1.0 };
    let (mut measured, mut expected) = (0.0, 0.0);
    for (i, v) in h.slots.iter().enumerate().rev().take(8) {
        let t = h.start + TimeDelta::seconds(SLOT_S * i as i64);
        if let (Some(v), true) = (v, now - t <= TimeDelta::hours(3)) {
            measured += f64::from(*v);
            expected += clear(t) * usual;
        }
    }
    let enough = 0.4 * clear_peak(clear, now);
    if expected < enough || enough <= 0.0 {
        1.0
    } else {
        (measured / expected).clamp(0.3, 1.7)
    }
}
