//! The one thing that survives a cycle; journaled, and restored after a restart.

use super::doubt::{MeterMemory, Still, Suspicion};
use super::field::FieldMemory;
use super::forecast::{ForecastMemory, SLOT_S, SLOTS_KEPT};
use super::ledger::{BaselineUse, DayBooks, KeptPeak};
use super::limits::Limits;
use super::reason::Reason;
use super::schedule::Schedule;
use super::setpoint::{DecisionId, Target};
use crate::site::{EvMode, Id, Mode, Plant};
use crate::tariff::MonthUse;
use crate::time::{Timestamp, floor_to, local_midnight};
use crate::units::{Energy, Power};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who decides (DESIGN: one loop, several policies).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    Idle,
    Rule,
    Plan,
    Perfect,
}

/// Rung of the safety ladder for the whole site; single components may be lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Plan in force.
    Normal,
    /// Last valid schedule, although a newer one failed.
    LastPlan,
    /// Rule-based self-consumption.
    Rule,
    /// Safe setpoints: the grid meter is unusable, or the first good cycle is still to come.
    Safe,
    /// Handed back to the devices.
    Released,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControllerState {
    pub mode: Mode,
    /// What the site file said when this state was made: a file that says something else wins over `mode`.
    pub file_mode: Mode,
    pub rung: Rung,
    /// Consecutive good cycles, needed to climb the ladder again.
    pub good_cycles: u32,
    pub next_decision: DecisionId,
    pub schedule: Option<Arc<Schedule>>,
    /// Plan of the day as first made after local midnight, to compare actual with.
    pub day_plan: Option<Arc<Schedule>>,
    pub month: MonthUse,
    /// Import and export since the start of the current metering window, and counters at its start.
    pub window: WindowUse,
    pub sessions: BTreeMap<Id, Session>,
    pub overrides: BTreeMap<Id, Override>,
    pub limits: Limits,
    /// People said that nobody is there.
    #[serde(default)]
    pub away: Option<Absence>,
    /// Earlier absences, as far back as the forecaster remembers what was drawn in them.
    #[serde(default)]
    pub absences: Vec<Absence>,
    pub generators: BTreeMap<Id, GeneratorHistory>,
    pub shiftables: BTreeMap<Id, ShiftableHistory>,
    pub forecast: ForecastMemory,
    /// Last target decided per component, when, and since when in this direction (ramps, minimum pauses, wear).
    pub last: BTreeMap<Id, LastTarget>,
    /// State of the plausibility checks: last accepted value per component and quantity.
    pub accepted: BTreeMap<String, (Timestamp, f64)>,
    /// Energy counters as they are published, by component and quantity.
    #[serde(default)]
    pub counters: BTreeMap<String, Counter>,
    /// Polls that speak against a value.
    #[serde(default)]
    pub suspicions: BTreeMap<String, Suspicion>,
    /// Powers that do not change.
    #[serde(default)]
    pub still: BTreeMap<Id, Still>,
    /// Whether the grid meter tells the truth.
    #[serde(default)]
    pub meter: MeterMemory,
    /// Small memories of the control laws, by name: when set, and the value kept.
    #[serde(default)]
    pub marks: BTreeMap<String, (Timestamp, f64)>,
    /// Wear of registers, what is in force at devices, what is left to other controllers.
    #[serde(default)]
    pub field: FieldMemory,
    /// A full good cycle was seen since this process started; never restored.
    #[serde(skip)]
    pub started: bool,
    /// What the month's demand charge would be counted on with the batteries at rest.
    #[serde(default)]
    pub baseline: Option<BaselineUse>,
    /// Money and energy of the current local day.
    pub today: DayBooks,
}

impl ControllerState {
    /// Name of the mark that the law of charge points sets while a car takes nothing of what is on offer.
    pub fn full_mark(charge_point: &Id) -> String {
        format!("full/{charge_point}")
    }

    /// When the car at a charge point was last seen to take nothing of what is on offer.
    pub fn takes_nothing(&self, charge_point: &Id) -> Option<Timestamp> {
        let session = self.sessions.get(charge_point)?;
        let (at, yes) = self.marks.get(&Self::full_mark(charge_point))?;
        (*yes > 0.0 && *at >= session.since).then_some(*at)
    }

    /// State of a controller that has never run: in Safe, knowing nothing but the site file.
    pub fn fresh(plant: &Plant, now: Timestamp) -> Self {
        let tz = plant.location.time_zone;
        let today = now.with_timezone(&tz).date_naive();
        let window = plant.tariff.power_window().unwrap_or(chrono::TimeDelta::minutes(15));
        Self {
            mode: plant.mode,
            file_mode: plant.mode,
            rung: Rung::Safe,
            good_cycles: 0,
            next_decision: DecisionId(1),
            schedule: None,
            day_plan: None,
            month: MonthUse::first(&plant.tariff, now),
            window: WindowUse {
                start: floor_to(now, window),
                imported: Energy::ZERO,
                exported: Energy::ZERO,
                covered_s: 0.0,
            },
            sessions: BTreeMap::new(),
            overrides: BTreeMap::new(),
            limits: Limits::default(),
            away: None,
            absences: Vec::new(),
            generators: BTreeMap::new(),
            shiftables: BTreeMap::new(),
            forecast: ForecastMemory {
                series: BTreeMap::new(),
                open: BTreeMap::new(),
                sessions: BTreeMap::new(),
                scores: BTreeMap::new(),
            },
            last: BTreeMap::new(),
            accepted: BTreeMap::new(),
            counters: BTreeMap::new(),
            suspicions: BTreeMap::new(),
            still: BTreeMap::new(),
            meter: MeterMemory::default(),
            marks: BTreeMap::new(),
            field: FieldMemory::default(),
            started: false,
            baseline: None,
            today: DayBooks::new(local_midnight(tz, today), now),
        }
    }

    /// Power of a component as last believed, kW, and when it was measured.
    pub fn believed_power(&self, component: &Id) -> Option<(Timestamp, f64)> {
        self.accepted.get(&format!("{component}/power")).copied()
    }

    /// Its state of charge as last believed, 0 to 1, and when it was measured.
    pub fn believed_charge(&self, component: &Id) -> Option<(Timestamp, f64)> {
        self.accepted.get(&format!("{component}/soc")).copied()
    }

    /// The state without the forecaster's slots, as the planner and the side exits see it.
    pub fn without_slots(&self) -> Self {
        let memory = &self.forecast;
        let forecast = ForecastMemory {
            series: BTreeMap::new(),
            open: memory.open.clone(),
            sessions: memory.sessions.clone(),
            scores: memory.scores.clone(),
        };
        Self {
            mode: self.mode,
            file_mode: self.file_mode,
            rung: self.rung,
            good_cycles: self.good_cycles,
            next_decision: self.next_decision,
            schedule: self.schedule.clone(),
            day_plan: self.day_plan.clone(),
            month: self.month.clone(),
            window: self.window.clone(),
            sessions: self.sessions.clone(),
            overrides: self.overrides.clone(),
            limits: self.limits.clone(),
            away: self.away,
            absences: self.absences.clone(),
            generators: self.generators.clone(),
            shiftables: self.shiftables.clone(),
            forecast,
            last: self.last.clone(),
            accepted: self.accepted.clone(),
            counters: self.counters.clone(),
            suspicions: self.suspicions.clone(),
            still: self.still.clone(),
            meter: self.meter.clone(),
            marks: self.marks.clone(),
            field: self.field.clone(),
            started: self.started,
            baseline: self.baseline.clone(),
            today: self.today.clone(),
        }
    }

    /// What changes within seconds and must survive a crash; plans, forecaster slots and scores are journaled apart,
    /// and what plausibility last accepted is found again.
    pub fn light(&self) -> Self {
        let mut light = self.without_slots();
        light.schedule = None;
        light.day_plan = None;
        light.accepted = BTreeMap::new();
        light.still = BTreeMap::new();
        light.forecast.scores = BTreeMap::new();
        light
    }

    /// Lays a [`Self::light`] state over this older one.
    pub fn overlay(self, light: Self) -> Self {
        Self {
            schedule: self.schedule,
            day_plan: self.day_plan,
            accepted: self.accepted,
            still: self.still,
            forecast: ForecastMemory {
                series: self.forecast.series,
                scores: self.forecast.scores,
                ..light.forecast
            },
            ..light
        }
    }

    /// A restored state under a site file that may have changed since: the file's mode wins where it is new, and what
    /// belongs to components that are gone is dropped.
    pub fn fitted(mut self, plant: &Plant) -> Self {
        if self.file_mode != plant.mode {
            (self.mode, self.file_mode) = (plant.mode, plant.mode);
        }
        let known = |id: &Id| plant.components.contains_key(id);
        self.sessions.retain(|id, _| known(id));
        self.overrides.retain(|id, _| known(id));
        self.generators.retain(|id, _| known(id));
        self.shiftables.retain(|id, _| known(id));
        self.last.retain(|id, _| known(id));
        self.field.intended.retain(|id, _| known(id));
        let fits = |s: &Arc<Schedule>| s.power_kw.keys().all(known);
        self.schedule = self.schedule.filter(fits);
        self.day_plan = self.day_plan.filter(fits);
        self
    }

    /// The newest instant that was certainly "now" once; `None` for a state that has seen no cycle.
    pub fn newest(&self) -> Option<Timestamp> {
        let told = self.last.values().map(|l| l.at);
        let seen = self.accepted.values().map(|(at, _)| *at);
        told.chain(seen).max()
    }

    /// Site time jumped by `step`. What is kept to know an age keeps it; what names a moment of the calendar keeps that.
    ///
    /// | Kept by its age, moved | Of the calendar, stays |
    /// |---|---|
    /// | `last`: when told, since when in this mode | plans: steps, when made |
    /// | `accepted`, `counters`, `suspicions`, `still`: readings and doubts | `month`, `window`, `today`: see `state::books::step` |
    /// | `meter`: evidence for and against it | |
    /// | `marks` of the control laws | departures, absences, ends of overrides and limits |
    /// | `sessions`: since when plugged in | the day of a shiftable load's last run |
    /// | `generators`, `shiftables`: since when they run | days of wear |
    /// | `field`: until when a command is left to another | `forecast`, but for whole weeks |
    pub fn step(&mut self, step: TimeDelta) {
        // Named one by one: a new field does not compile before its place in the table is decided.
        let Self {
            mode: _,
            file_mode: _,
            rung: _,
            good_cycles: _,
            next_decision: _,
            schedule: _,
            day_plan: _,
            month: _,
            window: _,
            sessions,
            overrides: _,
            limits: _,
            away: _,
            absences: _,
            generators,
            shiftables,
            forecast,
            last,
            accepted,
            counters,
            suspicions,
            still,
            marks,
            meter,
            field,
            started: _,
            baseline: _,
            today: _,
        } = self;
        meter.step(step);
        for s in sessions.values_mut() {
            s.since += step;
            s.idle_since = s.idle_since.map(|at| at + step);
        }
        generators.values_mut().for_each(|g| g.since += step);
        let runs = shiftables.values_mut().filter_map(|s| s.started.as_mut());
        runs.for_each(|t| *t += step);
        for l in last.values_mut() {
            (l.at, l.mode_since) = (l.at + step, l.mode_since + step);
        }
        for (at, _) in accepted.values_mut().chain(marks.values_mut()) {
            *at += step;
        }
        counters.values_mut().for_each(|c| c.rose_at += step);
        suspicions.values_mut().for_each(|s| s.step(step));
        still.values_mut().for_each(|s| s.step(step));
        field.devices.values_mut().for_each(|d| d.step(step));
        forecast.step(step);
    }

    /// Nobody is there at `t`, as far as people said.
    pub fn is_away(&self, t: Timestamp) -> bool {
        self.away
            .iter()
            .chain(&self.absences)
            .any(|a| a.from <= t && t < a.until)
    }

    /// Nobody is there from `from` on; an absence that lasts only gets another end.
    pub fn leave(&mut self, from: Timestamp, until: Timestamp) {
        let from = self.away.map_or(from, |a| a.from);
        self.away = Some(Absence { from, until });
    }

    /// The absence ends at `at`; true if there was one.
    pub fn come_back(&mut self, at: Timestamp) -> bool {
        let Some(absence) = self.away.take() else {
            return false;
        };
        let kept = TimeDelta::seconds(SLOT_S * SLOTS_KEPT as i64);
        self.absences.retain(|a| at - a.until < kept);
        self.absences.push(Absence {
            until: absence.until.min(at),
            ..absence
        });
        true
    }

    /// Puts a plan in force; the first one after local midnight is the plan of the day.
    pub fn adopt(&mut self, schedule: Arc<Schedule>) {
        if self.day_plan.as_ref().is_none_or(|p| p.made_at < self.today.start) {
            self.day_plan = Some(schedule.clone());
        }
        self.keep_peak(&schedule);
        self.schedule = Some(schedule);
    }

    /// Remembers the lowest peak that a plan of the day means to keep.
    fn keep_peak(&mut self, schedule: &Schedule) {
        let Some(kw) = schedule.peak_kw else { return };
        let peak = Power::kw(kw).max(self.month.peaks.peak);
        if self.today.kept_peak.is_none_or(|k| peak < k.peak) {
            let said_at = schedule.made_at;
            self.today.kept_peak = Some(KeptPeak { peak, said_at });
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowUse {
    pub start: Timestamp,
    /// Integrated since `start`.
    pub imported: Energy,
    pub exported: Energy,
    /// Seconds covered by good readings.
    pub covered_s: f64,
}

/// Nobody is there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Absence {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// An energy counter as it is published: it only rises.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    /// What was published last, kWh.
    pub shown: f64,
    /// What is added to the device's own value to keep falls and impossible leaps out, kWh.
    pub taken_out: f64,
    /// When it last rose, or a step was taken out.
    pub rose_at: Timestamp,
}

/// A car at a charge point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    pub since: Timestamp,
    pub departure: Timestamp,
    /// Wanted in all since plug-in, into the car.
    pub energy: Energy,
    pub mode: EvMode,
    /// Delivered so far, into the car.
    pub delivered: Energy,
    /// Drawn from the mains so far, and the energy counter when it was last read: for a charge point that does not count
    /// sessions itself.
    pub drawn: Energy,
    pub counter: Option<Energy>,
    /// A person said so (else defaults or habit).
    pub told: bool,
    /// Since when the car takes nothing of what is on offer: it is full or asleep. `None`: it takes power, or was not offered
    /// any.
    #[serde(default)]
    pub idle_since: Option<Timestamp>,
    /// The car took power again after it had taken nothing.
    #[serde(default)]
    pub woke: bool,
}

impl Session {
    /// Energy that the car still wants.
    pub fn missing(&self) -> Energy {
        (self.energy - self.delivered).max(Energy::ZERO)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Override {
    pub target: Target,
    pub until: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneratorHistory {
    pub running: bool,
    /// Since when in this state.
    pub since: Timestamp,
    pub starts: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShiftableHistory {
    /// Local date (as days since 1970) of the last finished or running run.
    pub day: i32,
    pub started: Option<Timestamp>,
    pub done: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastTarget {
    pub target: Target,
    pub at: Timestamp,
    /// Since when in the same mode (charging, idle, discharging / on, off).
    pub mode_since: Timestamp,
    pub reason: Reason,
}
