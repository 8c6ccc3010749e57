//! What is expected, when it was said, and how sure.

use crate::site::Id;
use crate::tariff::KnownPrice;
use crate::time::{TimeGrid, Timestamp};
use crate::units::Price;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Expected value of one series on the forecast's grid; all vectors have the grid's length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The dispatch head: mean, kW (or °C).
    pub mean: Vec<f64>,
    pub p10: Vec<f64>,
    pub p50: Vec<f64>,
    pub p90: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    pub issued_at: Timestamp,
    pub grid: TimeGrid,
    /// kW magnitude of consumption by load component (fixed, sheddable) — always ≥ 0.
    pub load: BTreeMap<Id, Quantiles>,
    /// kW magnitude of available generation by PV component — always ≥ 0.
    pub pv: BTreeMap<Id, Quantiles>,
    /// °C
    pub outdoor: Option<Quantiles>,
    /// Import price with fees and tax; `None` = unknown (never free).
    pub buy: Vec<Option<KnownPrice>>,
    pub sell: Vec<Option<Price>>,
    /// Sessions that are on now or expected, by charge point.
    pub sessions: BTreeMap<Id, Vec<ExpectedSession>>,
    /// How each series was made (`cold start`, `profile`, `ridge`), for people.
    pub models: BTreeMap<String, String>,
}

/// A charging session as the plan sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpectedSession {
    pub arrival: Timestamp,
    pub departure: Timestamp,
    /// Still needed, into the car, kWh.
    pub energy_kwh: f64,
    /// False: plugged in now; true: only expected.
    pub expected: bool,
    /// Probability that the car is gone before `departure`.
    #[serde(default)]
    pub leaves_early: f64,
}

/// What the forecaster remembers: 15-minute means by series, oldest first, bounded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesMemory {
    /// Start of the first slot kept.
    pub start: Timestamp,
    /// Mean kW of each slot; `None` = not measured.
    pub slots: Vec<Option<f32>>,
}

/// Running mean of the slot that is being filled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OpenSlot {
    pub start: Timestamp,
    pub sum: f64,
    pub weight_s: f64,
}

/// Forecaster state that survives a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForecastMemory {
    pub series: BTreeMap<String, SeriesMemory>,
    pub open: BTreeMap<String, OpenSlot>,
    /// Past sessions by charge point (arrival, departure, energy kWh), bounded.
    pub sessions: BTreeMap<Id, Vec<PastSession>>,
    /// Issued forecasts still to be scored, and the scores.
    pub scores: BTreeMap<String, Score>,
}

/// Length of a forecaster slot, seconds.
pub const SLOT_S: i64 = 900;
/// Slots kept per series: 56 days.
pub const SLOTS_KEPT: usize = 56 * 96;

impl ForecastMemory {
    /// Appends a closed slot; gaps before it become `None`, the oldest beyond [`SLOTS_KEPT`] are dropped, slots already
    /// there are replaced by what was measured (a clock that was set back passes them twice).
    pub fn put_slot(&mut self, series: &str, start: Timestamp, mean: Option<f32>) {
        let memory = self.series.entry(series.to_owned()).or_insert_with(|| SeriesMemory {
            start,
            slots: Vec::new(),
        });
        let index = (start - memory.start).num_seconds().div_euclid(SLOT_S);
        let Ok(index) = usize::try_from(index) else { return };
        if index >= memory.slots.len() + SLOTS_KEPT {
            *memory = SeriesMemory {
                start,
                slots: vec![mean],
            };
            return;
        }
        if index >= memory.slots.len() {
            memory.slots.resize(index + 1, None);
        }
        if let Some(slot) = memory.slots.get_mut(index).filter(|_| mean.is_some()) {
            *slot = mean;
        }
        let surplus = memory.slots.len().saturating_sub(SLOTS_KEPT);
        if surplus > 0 {
            memory.slots.drain(..surplus);
            memory.start += TimeDelta::seconds(SLOT_S * surplus as i64);
        }
    }
}

/// Steps of the clock below this leave the slots where they are: they are corrections of the time of day.
const WEEK_S: i64 = 7 * 86_400;

impl ForecastMemory {
    /// The clock jumped by `step`. By a week or more: what was learned moves along by whole weeks, so that it stays as recent as it was
    /// and under its days of the week, instead of being lost beyond [`SLOTS_KEPT`] or lying in the future.
    pub fn step(&mut self, step: TimeDelta) {
        if step.abs() < TimeDelta::seconds(WEEK_S) {
            return;
        }
        // Down to whole weeks: what was learned may come to lie some days too early, never in the future.
        let weeks = TimeDelta::seconds(step.num_seconds().div_euclid(WEEK_S) * WEEK_S);
        self.series.values_mut().for_each(|m| m.start += weeks);
        self.open.values_mut().for_each(|o| o.start += weeks);
        for s in self.sessions.values_mut().flatten() {
            (s.arrival, s.departure) = (s.arrival + weeks, s.departure + weeks);
        }
        for score in self.scores.values_mut() {
            score.pending.clear();
        }
    }
}

/// A car left early if it was gone so long before its time.
pub const LEFT_EARLY: TimeDelta = TimeDelta::minutes(15);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastSession {
    pub arrival: Timestamp,
    pub departure: Timestamp,
    /// When it was to leave, as told or assumed. `None`: written by an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_departure: Option<Timestamp>,
    pub energy_kwh: f64,
    /// The car took nothing of what was on offer for a while: whether it took power again before it left. `None`: it never
    /// refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub woke: Option<bool>,
}

/// Rolling accuracy of the day-ahead forecast of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Σ|error| and Σ|actual| over scored slots, kWh.
    pub abs_error: f64,
    pub abs_actual: f64,
    /// Forecast mean kW by slot start, waiting for its actual.
    pub pending: BTreeMap<Timestamp, f64>,
}

impl Score {
    /// MAE / mean |actual|; `None` before anything was scored.
    pub fn nmae(&self) -> Option<f64> {
        (self.abs_actual > 0.0).then(|| self.abs_error / self.abs_actual)
    }
}
