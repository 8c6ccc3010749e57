//! What was promised and not given: each car by name, how much it missed, and what held it back meanwhile.
//!
//! In: the stays of the twin's cars and the reasons of each cycle's setpoints. Out: [`Missed`]. What was physically possible
//! is what the car got under the policy `idle`, which charges on arrival at full power within the fuse.

use crate::cycle::CycleReport;
use crate::model::{LEFT_EARLY, Policy, ReasonCode};
use crate::site::Id;
use crate::time::Timestamp;
use crate::twin::{Books, Stay};
use crate::units::Energy;
use chrono::TimeDelta;
use serde::Serialize;
use std::collections::BTreeMap;

/// Service below a meter's resolution, kWh or K·h a day.
pub const UNSEEN: f64 = 0.01;
/// Reasons named for one stay.
const NAMED: usize = 3;

/// Service of one policy.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Service {
    pub ev_shortfall_kwh: f64,
    pub unserved_kwh: f64,
    pub discomfort_kh: f64,
}

impl Service {
    pub fn of(books: &Books) -> Self {
        Self {
            ev_shortfall_kwh: books.ev_shortfall_kwh(),
            unserved_kwh: books.unserved_kwh,
            discomfort_kh: books.discomfort_kh,
        }
    }

    /// Serves less than `other`, over `days`.
    pub fn is_less_than(&self, other: &Self, days: f64) -> bool {
        let slack = UNSEEN * days;
        self.ev_shortfall_kwh > other.ev_shortfall_kwh + slack
            || self.unserved_kwh > other.unserved_kwh + slack
            || self.discomfort_kh > other.discomfort_kh + slack
    }
}

/// Energy that a car was promised and did not get under the plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Missed {
    pub component: Id,
    pub arrival: Timestamp,
    pub departure: Timestamp,
    pub promised_kwh: f64,
    pub got_kwh: f64,
    pub missed_kwh: f64,
    /// When it was to leave, as it was told or assumed.
    pub expected_departure: Option<Timestamp>,
    /// What the policy `idle` gave the car in the same stay.
    pub possible_kwh: f64,
    /// What decided for the charge point while the car was plugged in and short, longest first.
    pub why: Vec<Held>,
}

impl Missed {
    /// How long before its time the car left; `None` where it stayed until about then.
    pub fn left_early(&self) -> Option<TimeDelta> {
        let early = self.expected_departure? - self.departure;
        (early > LEFT_EARLY).then_some(early)
    }

    /// Energy that could have been given by the time that was promised and was not. What a car that left before its time had
    /// not got yet is missed, but was not promised.
    pub fn lost_kwh(&self) -> f64 {
        if self.left_early().is_some() {
            return 0.0;
        }
        (self.promised_kwh.min(self.possible_kwh) - self.got_kwh).max(0.0)
    }
}

/// How long a reason was in force.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Held {
    pub code: ReasonCode,
    pub minutes: f64,
}

/// Sessions while they were short, by charge point and start.
#[derive(Debug, Clone, Default)]
pub struct Reasons(BTreeMap<Id, BTreeMap<Timestamp, Short>>);

#[derive(Debug, Clone)]
struct Short {
    /// As last told or assumed.
    departure: Timestamp,
    /// Minutes of each reason.
    minutes: BTreeMap<ReasonCode, f64>,
}

impl Reasons {
    /// Adds one cycle: what was decided for each car that is plugged in and still short.
    pub fn see(&mut self, report: &CycleReport, cycle: TimeDelta) {
        let short = report.state.sessions.iter().filter(|(_, s)| s.missing() > Energy::ZERO);
        for (id, session) in short {
            let told = report.setpoints.iter().find(|s| s.component == *id);
            // Without a setpoint its device cannot be told anything.
            let code = told.map_or(ReasonCode::DeviceSilent, |s| s.reason.code);
            let sessions = self.0.entry(id.clone()).or_default();
            let short = sessions.entry(session.since).or_insert_with(|| Short {
                departure: session.departure,
                minutes: BTreeMap::new(),
            });
            short.departure = session.departure;
            *short.minutes.entry(code).or_insert(0.0) += cycle.as_seconds_f64() / 60.0;
        }
    }

    /// Sessions that began during a stay.
    fn of(&self, id: &Id, stay: &Stay) -> impl Iterator<Item = &Short> {
        let sessions = self.0.get(id).into_iter();
        sessions
            .flat_map(|s| s.range(stay.arrival..stay.departure))
            .map(|(_, s)| s)
    }

    /// What decided during a stay, longest first.
    fn during(&self, id: &Id, stay: &Stay) -> Vec<Held> {
        let mut sum: BTreeMap<ReasonCode, f64> = BTreeMap::new();
        for short in self.of(id, stay) {
            for (code, m) in &short.minutes {
                *sum.entry(*code).or_insert(0.0) += m;
            }
        }
        let mut held: Vec<Held> = sum.into_iter().map(|(code, minutes)| Held { code, minutes }).collect();
        held.sort_by(|a, b| b.minutes.total_cmp(&a.minutes));
        held.truncate(NAMED);
        held
    }
}

/// Every stay that ended short under the plan.
pub fn missed(plan: &Books, idle: &Books, reasons: &Reasons) -> Vec<Missed> {
    let possible = |id: &Id, arrival: Timestamp| {
        let stays = idle.stays.get(id).into_iter().flatten();
        stays.filter(|s| s.arrival == arrival).map(|s| s.got_kwh).sum::<f64>()
    };
    let all = plan
        .stays
        .iter()
        .flat_map(|(id, stays)| stays.iter().map(move |s| (id, s)));
    let short = all.filter(|(_, s)| s.missed_kwh() > UNSEEN);
    short
        .map(|(id, s)| Missed {
            component: id.clone(),
            arrival: s.arrival,
            departure: s.departure,
            promised_kwh: s.promised_kwh,
            got_kwh: s.got_kwh,
            missed_kwh: s.missed_kwh(),
            expected_departure: reasons.of(id, s).last().map(|short| short.departure),
            possible_kwh: possible(id, s.arrival),
            why: reasons.during(id, s),
        })
        .collect()
}

/// Policies that serve less than another one: what they cost cannot be compared.
pub fn not_comparable(service: &BTreeMap<Policy, Service>, days: f64) -> Vec<Policy> {
    let less = |s: &Service| service.values().any(|other| s.is_less_than(other, days));
    service.iter().filter(|(_, s)| less(s)).map(|(p, _)| *p).collect()
}
