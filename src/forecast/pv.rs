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
const KEPT_D: usize = 14;
/// A day below this share of the best of its fortnight: snow lies on the panels (a dark day of winter gives more; on two
/// homes in Belgium, one in Turin and 41 to 51 days each the error fell by 0 to 6 %).
const COVERED: f64 = 0.05;
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

/// One day back from now.
#[derive(Clone, Copy, Default)]
struct Day {
    /// Measured and under a clear sky, sums of kW over slots.
    measured: f64,
    possible: f64,
    /// The same, the older the lighter.
    weighted: (f64, f64),
}

impl Day {
    /// Share of the clear-sky energy; `None` of a day of which too little was measured. `whole`: energy of a clear day.
    fn share(&self, whole: f64) -> Option<f64> {
        (self.possible > 0.3 * whole && whole > 0.0).then(|| self.measured / self.possible)
    }
}

/// Energy of past days against clear sky (shrunk to the prior), and the weight of days behind it. Days on which snow lay on
/// the panels tell of other such days only.
fn clearness(history: Option<&SeriesMemory>, clear: &dyn Fn(Timestamp) -> f64, now: Timestamp) -> (f64, f64) {
    let Some(h) = history else {
        return (PRIOR_CLEARNESS, 0.0);
    };
    // One clear day is about 6 full-power hours, 24 slots.
    let whole = 24.0 * clear_peak(clear, now);
    let days = days(h, clear, now);
    let best = days.iter().filter_map(|d| d.share(whole)).fold(0.0, f64::max);
    let is_covered = |d: &Day| d.share(whole).is_some_and(|s| s < COVERED * best);
    let covered = days.first().is_some_and(is_covered);
    let like = days.iter().filter(|d| is_covered(d) == covered);
    let (measured, possible) = like.fold((0.0, 0.0), |(m, p), d| (m + d.weighted.0, p + d.weighted.1));
    let weight = if whole > 0.0 { possible / whole } else { 0.0 };
    if covered {
        return ((measured / possible).clamp(0.0, 1.2), weight);
    }
    let trust = TRUST_PRIOR * whole;
    if possible + trust <= 0.0 {
        return (PRIOR_CLEARNESS, 0.0);
    }
    (
        ((measured + PRIOR_CLEARNESS * trust) / (possible + trust)).clamp(0.05, 1.2),
        weight,
    )
}

/// The last fortnight by days back from now.
fn days(h: &SeriesMemory, clear: &dyn Fn(Timestamp) -> f64, now: Timestamp) -> Vec<Day> {
    let mut days = vec![Day::default(); KEPT_D];
    let from = h.slots.len().saturating_sub(KEPT_D * 96);
    for (i, v) in h.slots.iter().enumerate().skip(from) {
        let t = h.start + TimeDelta::seconds(SLOT_S * i as i64);
        let Some(v) = v else { continue };
        let sun = clear(t);
        // what an inverter draws at night says nothing of the sun
        if sun <= 0.0 {
            continue;
        }
        let age = now - t;
        let back = usize::try_from((age - TimeDelta::seconds(SLOT_S)).num_days()).unwrap_or(0);
        let Some(day) = days.get_mut(back) else { continue };
        let w = 0.5f64.powf(age.as_seconds_f64() / 86_400.0 / HALF_LIFE_D);
        day.measured += f64::from(*v);
        day.possible += sun;
        day.weighted.0 += w * f64::from(*v);
        day.weighted.1 += w * sun;
    }
    days
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Kind;
    use chrono::TimeZone;

    /// Share of clear sky counted on after full days of these shares, and some hours of the day after them.
    fn counted_on(days: &[f64], more_h: i64, share: f64) -> f64 {
        let site = crate::site::builtin("home-amsterdam").unwrap();
        let pv = site.plant.components.values().find_map(|c| match &c.kind {
            Kind::Pv(pv) => Some(pv),
            _ => None,
        });
        let place = Location {
            latitude: 52.4,
            longitude: 4.9,
        };
        let clear = |t: Timestamp| clear_sky_kw(pv.unwrap(), place, t);
        let start = chrono::Utc.with_ymd_and_hms(2026, 3, 1, 0, 0, 0).unwrap();
        let at = |i: i64| start + TimeDelta::seconds(SLOT_S * i);
        let shares = days.iter().flat_map(|share| [*share; 96]);
        let shares = shares.chain(std::iter::repeat_n(share, 4 * usize::try_from(more_h).unwrap()));
        let slots: Vec<_> = shares
            .enumerate()
            .map(|(i, s)| Some((s * clear(at(i as i64))) as f32))
            .collect();
        let now = at(slots.len() as i64);
        clearness(Some(&SeriesMemory { start, slots }), &clear, now).0
    }

    #[test]
    fn days_under_snow_tell_nothing_of_days_without() {
        let winter = |clear: usize, snow: usize, again: usize| {
            [vec![0.85; clear], vec![0.012; snow], vec![0.85; again]].concat()
        };
        let dark = [vec![0.85; 10], vec![0.1]].concat();
        let rows = [
            ("no snow", winter(10, 0, 0), 0, 0.0, 0.75..0.85),
            ("under snow", winter(10, 2, 0), 0, 0.0, 0.0..0.02),
            ("a day after the thaw", winter(10, 6, 1), 0, 0.0, 0.7..0.85),
            ("the thaw, at nine", winter(10, 6, 0), 9, 0.85, 0.5..0.85),
            (
                "a fortnight of snow, then a day of sun",
                winter(0, 14, 1),
                0,
                0.0,
                0.6..0.85,
            ),
            ("a dark day is weather", dark, 0, 0.0, 0.6..0.75),
        ];
        for (name, days, hours, share, expected) in rows {
            let got = counted_on(&days, hours, share);
            assert!(expected.contains(&got), "{name}: {got:.3}, not {expected:?}");
        }
    }
}
