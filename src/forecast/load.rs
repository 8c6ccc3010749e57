//! Load: a day-type profile learnt with shrinkage, plus errors of the last hours that fade.

use super::BySlot;
use super::slots::Slots;
use crate::model::{ControllerState, SLOT_S, SeriesMemory};
use crate::site::{ExpectedLoad, Id, Plant};
use crate::time::{DayKind, Timestamp, day_kind};
use chrono::{TimeDelta, Timelike};

const PER_DAY: usize = 96;
/// A day 14 days old counts half.
const HALF_LIFE_D: f64 = 14.0;
/// Days' worth of trust in the coarser profile (forecasting notes: k = 3 for the day type, 2 for the prior).
const TRUST_TYPE: f64 = 3.0;
const TRUST_PRIOR: f64 = 2.0;

/// Forecast of one load; kW ≥ 0.
pub(crate) fn forecast(
    plant: &Plant,
    state: &ControllerState,
    id: &Id,
    expected: &ExpectedLoad,
    slots: &Slots,
    now: Timestamp,
) -> BySlot {
    let history = state.forecast.series.get(&format!("load/{id}"));
    let profile = Profile::learn(plant, expected, history, now);
    let bias = Bias::of(plant, &profile, history, now);
    let most = highest(expected, history);
    let mean = (0..slots.count)
        .map(|i| {
            let t = slots.at(i);
            let ahead = (t - now).as_seconds_f64().max(0.0) / 3600.0;
            (profile.at(plant, t) + bias.at(ahead)).clamp(0.0, most)
        })
        .collect();
    let days = profile.days;
    let model = if days < 0.5 { "cold start" } else { "profile" };
    let spread = 0.55 / (1.0 + mean_kw(expected) / 4.0).sqrt();
    BySlot {
        mean,
        low: 1.0 - spread,
        high: 1.0 + spread,
        most,
        model,
    }
}

fn mean_kw(e: &ExpectedLoad) -> f64 {
    e.daily.as_kwh() / 24.0
}

/// Nothing is expected above 1.2 × the highest ever seen, or what the site file says while little was seen.
fn highest(expected: &ExpectedLoad, history: Option<&SeriesMemory>) -> f64 {
    let seen = history.map_or(0.0, |h| h.slots.iter().flatten().fold(0.0f32, |a, b| a.max(*b)));
    expected.max.as_kw().max(1.2 * f64::from(seen))
}

/// Mean kW by day kind and local quarter of an hour.
struct Profile {
    table: [[f64; PER_DAY]; 3],
    /// Weighted days of history behind it.
    days: f64,
}

fn row(kind: DayKind) -> usize {
    match kind {
        DayKind::Work => 0,
        DayKind::Saturday => 1,
        DayKind::Sunday => 2,
    }
}

/// Local day kind and quarter of an hour of `t`.
fn place(plant: &Plant, t: Timestamp) -> (usize, usize) {
    let local = t.with_timezone(&plant.location.time_zone);
    let kind = day_kind(local.date_naive(), &plant.location.country, &plant.tariff.holidays);
    (row(kind), (local.hour() * 4 + local.minute() / 15) as usize)
}

impl Profile {
    fn learn(plant: &Plant, expected: &ExpectedLoad, history: Option<&SeriesMemory>, now: Timestamp) -> Self {
        let prior = prior(expected);
        let Some(h) = history else {
            return Self {
                table: prior,
                days: 0.0,
            };
        };
        let (mut sum, mut weight) = ([[0.0; PER_DAY]; 3], [[0.0; PER_DAY]; 3]);
        for (i, v) in h.slots.iter().enumerate() {
            let Some(v) = v else { continue };
            let t = h.start + TimeDelta::seconds(SLOT_S * i as i64);
            let w = 0.5f64.powf((now - t).as_seconds_f64() / 86_400.0 / HALF_LIFE_D);
            let (k, q) = place(plant, t);
            sum[k][q] += w * f64::from(*v);
            weight[k][q] += w;
        }
        let days = weight.iter().flatten().sum::<f64>() / PER_DAY as f64;
        let (sum, weight) = (sum.map(smooth), weight.map(smooth));
        let mut table = prior;
        for q in 0..PER_DAY {
            let (all, n) = ratio_to_prior(&sum, &weight, &prior, q);
            for k in 0..3 {
                let coarse = prior[k][q] * (all * n + TRUST_PRIOR) / (n + TRUST_PRIOR);
                table[k][q] = (sum[k][q] + TRUST_TYPE * coarse) / (weight[k][q] + TRUST_TYPE);
            }
        }
        Self { table, days }
    }

    fn at(&self, plant: &Plant, t: Timestamp) -> f64 {
        let (k, q) = place(plant, t);
        self.table[k][q]
    }
}

/// All day kinds together at one quarter: measured against the prior, and how many days back it.
fn ratio_to_prior(
    sum: &[[f64; PER_DAY]; 3],
    weight: &[[f64; PER_DAY]; 3],
    prior: &[[f64; PER_DAY]; 3],
    q: usize,
) -> (f64, f64) {
    let n: f64 = (0..3).map(|k| weight[k][q]).sum();
    let measured: f64 = (0..3).map(|k| sum[k][q]).sum();
    let expected: f64 = (0..3).map(|k| weight[k][q] * prior[k][q]).sum();
    if expected > 0.0 {
        (measured / expected, n)
    } else {
        (1.0, 0.0)
    }
}

/// ± 30 minutes, round midnight.
fn smooth(day: [f64; PER_DAY]) -> [f64; PER_DAY] {
    let mut out = day;
    for (q, cell) in out.iter_mut().enumerate() {
        let near = (0..5).map(|d| day[(q + PER_DAY + d - 2) % PER_DAY]);
        *cell = near.sum::<f64>() / 5.0;
    }
    out
}

fn prior(expected: &ExpectedLoad) -> [[f64; PER_DAY]; 3] {
    let mean = mean_kw(expected);
    let mut day = [0.0; PER_DAY];
    for (q, cell) in day.iter_mut().enumerate() {
        *cell = mean * expected.shape.get(q / 4).copied().unwrap_or(1.0);
    }
    let day = smooth(day);
    [
        day,
        day.map(|v| v * expected.saturday),
        day.map(|v| v * expected.sunday),
    ]
}

/// How far the last hour, three hours and day lay from the profile; each fades at its own pace.
struct Bias {
    hour: f64,
    three: f64,
    day: f64,
}

impl Bias {
    fn of(plant: &Plant, profile: &Profile, history: Option<&SeriesMemory>, now: Timestamp) -> Self {
        let mean = |slots: usize, trust: f64| -> f64 {
            let Some(h) = history else { return 0.0 };
            let mut sum = 0.0;
            let mut n = 0.0;
            for (i, v) in h.slots.iter().enumerate().rev().take(slots) {
                let t = h.start + TimeDelta::seconds(SLOT_S * i as i64);
                let recent = now - t <= TimeDelta::seconds(SLOT_S * (slots as i64 + 1));
                if let (Some(v), true) = (v, recent) {
                    sum += f64::from(*v) - profile.at(plant, t);
                    n += 1.0;
                }
            }
            sum / (n + trust)
        };
        Self {
            hour: mean(4, 3.0),
            three: mean(12, 6.0),
            day: mean(96, 24.0),
        }
    }

    fn at(&self, ahead_h: f64) -> f64 {
        let day = self.day * (-ahead_h / 24.0).exp();
        let three = (self.three - self.day) * 0.6 * (-ahead_h / 4.0).exp();
        let hour = (self.hour - self.three) * 0.5 * (-ahead_h).exp();
        day + three + hour
    }
}
