//! Load: a day-type profile learnt with shrinkage, plus errors of the last hours that fade. While people are away: what the
//! load drew without them.

use super::slots::Slots;
use super::{BySlot, level};
use crate::model::{ControllerState, SLOT_S, SeriesMemory};
use crate::site::{ExpectedLoad, Id, Plant};
use crate::time::{DayKind, Timestamp, day_kind};
use chrono::{TimeDelta, Timelike};

const PER_DAY: usize = 96;
/// A day 14 days old counts half.
pub(super) const HALF_LIFE_D: f64 = 14.0;
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
    let seen = seen(plant, state, history, now);
    let days = seen.iter().map(Seen::weight).sum::<f64>() / PER_DAY as f64;
    let presence = Presence::learn(expected, &seen);
    let is_away = state.is_away(now);
    let bias = Bias::of(presence.table(is_away), &seen, is_away);
    let most = highest(expected, history);
    let mean = (0..slots.count)
        .map(|i| {
            let t = slots.at(i);
            let away = state.is_away(t);
            let ahead = (t - now).as_seconds_f64().max(0.0) / 3600.0;
            let (kind, quarter) = place(plant, t);
            let drift = if away == is_away { bias.at(ahead) } else { 0.0 };
            (presence.table(away)[kind][quarter] + drift).clamp(0.0, most)
        })
        .collect();
    let spread = 0.55 / (1.0 + mean_kw(expected) / 4.0).sqrt();
    BySlot {
        mean,
        low: 1.0 - spread,
        high: 1.0 + spread,
        most,
        model: model(days, is_away, presence.changed),
    }
}

fn model(days: f64, is_away: bool, changed: bool) -> &'static str {
    match (is_away, changed) {
        (true, _) => "away",
        (false, true) => "profile, changed level",
        (false, false) if days < 0.5 => "cold start",
        (false, false) => "profile",
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
pub(super) type Table = [[f64; PER_DAY]; 3];

/// One measured slot of the past.
pub(super) struct Seen {
    kind: usize,
    quarter: usize,
    pub kw: f64,
    /// Slots between it and the newest one.
    back: usize,
    age: TimeDelta,
    /// People had said that nobody is there.
    away: bool,
}

impl Seen {
    fn weight(&self) -> f64 {
        0.5f64.powf(self.age.as_seconds_f64() / 86_400.0 / HALF_LIFE_D)
    }
    /// Whole days between its end and now.
    pub fn day(&self) -> usize {
        let ended = self.age - TimeDelta::seconds(SLOT_S);
        usize::try_from(ended.num_days()).unwrap_or(0)
    }
    /// What a table expects of it, kW.
    pub fn of(&self, table: &Table) -> f64 {
        table[self.kind][self.quarter]
    }
}

fn seen(plant: &Plant, state: &ControllerState, history: Option<&SeriesMemory>, now: Timestamp) -> Vec<Seen> {
    let Some(h) = history else { return Vec::new() };
    let slots = h.slots.iter().enumerate();
    let measured = slots.filter_map(|(i, kw)| {
        let t = h.start + TimeDelta::seconds(SLOT_S * i as i64);
        let (kind, quarter) = place(plant, t);
        let kw = f64::from((*kw)?);
        Some(Seen {
            kind,
            quarter,
            kw,
            back: h.slots.len() - 1 - i,
            age: now - t,
            away: state.is_away(t),
        })
    });
    measured.collect()
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

/// What is drawn with people there, and without.
struct Presence {
    home: Table,
    away: Table,
    /// `home` follows a lasting change of level.
    changed: bool,
}

impl Presence {
    fn learn(expected: &ExpectedLoad, seen: &[Seen]) -> Self {
        let prior = prior(expected);
        let (gone, there): (Vec<&Seen>, Vec<&Seen>) = seen.iter().partition(|s| s.away);
        let (home, changed) = level::profile(&there, &prior);
        let alone = mean_of(&gone).unwrap_or_else(|| resting_kw(&there, &prior));
        let away = learn(&gone, &[[alone; PER_DAY]; 3], |_| true);
        Self { home, away, changed }
    }

    fn table(&self, away: bool) -> &Table {
        if away { &self.away } else { &self.home }
    }
}

/// Mean of what was measured, kW; `None` of less than a day.
fn mean_of(seen: &[&Seen]) -> Option<f64> {
    (seen.len() >= PER_DAY).then(|| seen.iter().map(|s| s.kw).sum::<f64>() / seen.len() as f64)
}

/// What the load draws while nobody does anything: the lowest tenth of what was measured, kW; without a day of
/// measurements the lowest of what the site file expects.
fn resting_kw(seen: &[&Seen], prior: &Table) -> f64 {
    let mut kw: Vec<f64> = seen.iter().map(|s| s.kw).collect();
    if kw.len() < PER_DAY {
        return prior.iter().flatten().fold(f64::INFINITY, |a, b| a.min(*b));
    }
    kw.sort_by(f64::total_cmp);
    kw.get(kw.len() / 10).copied().unwrap_or(0.0)
}

/// The table of the slots that `counts` lets in, shrunk to `prior` where there are few.
pub(super) fn learn(seen: &[&Seen], prior: &Table, counts: impl Fn(&Seen) -> bool) -> Table {
    let (mut sum, mut weight) = ([[0.0; PER_DAY]; 3], [[0.0; PER_DAY]; 3]);
    for s in seen.iter().filter(|s| counts(s)) {
        let w = s.weight();
        sum[s.kind][s.quarter] += w * s.kw;
        weight[s.kind][s.quarter] += w;
    }
    let (sum, weight) = (sum.map(smooth), weight.map(smooth));
    let mut table = *prior;
    for q in 0..PER_DAY {
        let (all, n) = ratio_to_prior(&sum, &weight, prior, q);
        for k in 0..3 {
            let coarse = prior[k][q] * (all * n + TRUST_PRIOR) / (n + TRUST_PRIOR);
            table[k][q] = (sum[k][q] + TRUST_TYPE * coarse) / (weight[k][q] + TRUST_TYPE);
        }
    }
    table
}

/// All day kinds together at one quarter: measured against the prior, and how many days back it.
fn ratio_to_prior(sum: &Table, weight: &Table, prior: &Table, q: usize) -> (f64, f64) {
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

fn prior(expected: &ExpectedLoad) -> Table {
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
    /// From the last hours with people there, or from those without.
    fn of(table: &Table, seen: &[Seen], away: bool) -> Self {
        let mean = |slots: usize, trust: f64| -> f64 {
            let recent = TimeDelta::seconds(SLOT_S * (slots as i64 + 1));
            let last = seen
                .iter()
                .filter(|s| s.back < slots && s.age <= recent && s.away == away);
            let (sum, n) = last.fold((0.0, 0.0), |(sum, n), s| (sum + s.kw - s.of(table), n + 1.0));
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
