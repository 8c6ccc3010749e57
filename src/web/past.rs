//! What was decided lately, and why: for the page's chart, whose cursor reaches back to midnight. The journal keeps all of it
//! for longer, without what was measured; this is what a process remembers of itself.

use super::now::seen;
use crate::cycle::CycleReport;
use crate::model::{Now, Reason, Setpoint, Target};
use crate::site::{Id, Plant};
use crate::time::Timestamp;
use std::collections::{BTreeMap, VecDeque};

/// Changes remembered; a site of twenty components makes some thousands a day.
const KEPT: usize = 8_192;

/// A decision that differs from the one before it.
#[derive(Debug, Clone)]
pub struct Told {
    pub since: Timestamp,
    pub component: Id,
    pub target: Target,
    pub reason: Reason,
    /// What was seen of the component then.
    pub now: Option<Now>,
}

#[derive(Debug, Default)]
pub struct Past {
    /// Oldest first.
    changes: VecDeque<Told>,
    /// In force last, by component.
    last: BTreeMap<Id, (Kind, Timestamp)>,
    /// From when on everything is remembered, and up to when.
    known: Option<(Timestamp, Timestamp)>,
}

/// What tells two decisions apart: the reason, and the direction; not each watt.
type Kind = (crate::model::ReasonCode, i8);

fn kind(s: &Setpoint) -> Kind {
    let sign = |v: f64| if v.abs() < 0.02 { 0 } else { v.signum() as i8 };
    let direction = match s.target {
        Target::Power(p) | Target::PowerLimit(p) => sign(p.as_kw()),
        Target::Current(a) => sign(a.as_amps()),
        Target::On(on) => i8::from(on),
        Target::Release => 2,
    };
    (s.reason.code, direction)
}

impl Past {
    /// Takes the decisions of a cycle.
    pub fn take(&mut self, plant: &Plant, report: &CycleReport) {
        let (now, seen) = (report.snapshot.at, seen(plant, report));
        // A clock that was set back begins a new past.
        match &mut self.known {
            Some((_, to)) if *to <= now => *to = now,
            _ => {
                *self = Self {
                    known: Some((now, now)),
                    ..Self::default()
                }
            }
        }
        for s in report.setpoints.iter() {
            let kind = kind(s);
            if self.last.get(&s.component).is_none_or(|(last, _)| *last != kind) {
                self.last.insert(s.component.clone(), (kind, now));
                self.changes.push_back(Told {
                    since: now,
                    component: s.component.clone(),
                    target: s.target,
                    reason: s.reason.clone(),
                    now: seen.now(&s.component),
                });
            }
        }
        while self.changes.len() > KEPT {
            let forgotten = self.changes.pop_front();
            if let (Some(told), Some((from, _))) = (forgotten, &mut self.known) {
                *from = told.since + chrono::TimeDelta::milliseconds(1);
            }
        }
    }

    /// The decisions in force at an instant, newest first; `None` where that is not remembered.
    pub fn at(&self, t: Timestamp) -> Option<Vec<Told>> {
        let (from, to) = self.known?;
        if t < from || t > to {
            return None;
        }
        let mut found: BTreeMap<&Id, &Told> = BTreeMap::new();
        for told in self.changes.iter().rev().filter(|told| told.since <= t) {
            found.entry(&told.component).or_insert(told);
        }
        Some(found.into_values().cloned().collect())
    }
}
