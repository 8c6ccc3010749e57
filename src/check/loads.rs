//! Loads that can be moved: run once in one piece, in sequence, or deferred with pauses.

use super::hours;
use super::ledger::{Ledger, TOLERANCE};
use super::switching::{self, Times};
use crate::model::ShiftableProblem;

/// Powers and lengths of a run from its begin (what is left of it where it is on), h.
pub fn phases(s: &ShiftableProblem) -> Vec<(f64, f64)> {
    if !s.phases.is_empty() {
        return s.phases.iter().map(|p| (p.power_kw, p.hours)).collect();
    }
    let length = if s.running_hours > 0.0 {
        s.running_hours
    } else {
        s.duration_hours
    };
    vec![(s.power_kw, length)]
}

/// kWh of a run between two times counted from its begin, h.
fn used(phases: &[(f64, f64)], from: f64, to: f64) -> f64 {
    let mut begin = 0.0;
    let mut energy = 0.0;
    for (kw, length) in phases {
        let end = begin + length;
        energy += kw * (to.min(end) - from.max(begin)).max(0.0);
        begin = end;
    }
    energy
}

/// First step with power, and the first without any after it.
fn ran(kw: &[f64]) -> Option<(usize, usize)> {
    let first = kw.iter().position(|kw| *kw > TOLERANCE)?;
    let last = kw.iter().rposition(|kw| *kw > TOLERANCE)?;
    Some((first, last + 1))
}

/// A run-once load runs in one piece inside its window, in its turn, or not at all.
pub fn run_once(l: &mut Ledger<'_>) {
    let p = l.p;
    for s in &p.shiftable {
        let kw = &l.s.plan.shiftable_kw[&s.id];
        l.positive(&s.id, "power", kw);
        let phases = phases(s);
        let running = s.running_hours > 0.0;
        let Some(first) = ran(kw).map(|(first, _)| if running { 0 } else { first }) else {
            if running && used(&phases, 0.0, f64::MAX) > TOLERANCE && p.steps > 0 {
                l.excess("stops a run", &s.id, 0, 1.0);
            }
            continue;
        };
        let mut clock = 0.0;
        for (t, kw) in kw.iter().enumerate().skip(first) {
            let energy = used(&phases, clock, clock + hours(p, t));
            let off = (kw * hours(p, t) - energy).abs();
            l.excess("does not follow its course", &s.id, t, off);
            clock += hours(p, t);
        }
        let length: f64 = phases.iter().map(|(_, hours)| hours).sum();
        let window: f64 = (first..s.latest_step.min(p.steps)).map(|t| hours(p, t)).sum();
        if !running {
            let outside = first < s.earliest_step || window < length - 1e-9;
            l.excess("runs outside its window", &s.id, first, f64::from(u8::from(outside)));
            turn(l, s, first);
        }
    }
}

/// In a sequence: not before the one it follows is over.
fn turn(l: &mut Ledger<'_>, s: &ShiftableProblem, first: usize) {
    let p = l.p;
    let Some(before) = s.after.as_ref().and_then(|id| p.shiftable.iter().find(|b| b.id == *id)) else {
        return;
    };
    let kw = &l.s.plan.shiftable_kw[&before.id];
    let early = match ran(kw) {
        Some((_, over)) => over > first,
        None => before.running_hours <= 0.0,
    };
    let energy = used(&phases(s), 0.0, f64::MAX);
    let early = f64::from(u8::from(early));
    l.elastic(("too_early", energy), "runs before its turn", &s.id, first, early);
}

/// A deferred load keeps to its window, power and minimum times, and takes no more than its energy.
pub fn deferrable(l: &mut Ledger<'_>) {
    let p = l.p;
    for d in &p.deferrable {
        let plan = &l.s.plan.deferrable[&d.id];
        let kw = &plan.electric_kw;
        l.positive(&d.id, "power", kw);
        for (t, kw) in kw.iter().enumerate() {
            let inside = d.earliest_step <= t && t < d.latest_step;
            let most = if inside { d.power_kw } else { 0.0 };
            l.excess("above its power or outside its window", &d.id, t, kw - most);
        }
        let energy: f64 = kw.iter().enumerate().map(|(t, kw)| hours(p, t) * kw).sum();
        l.excess("takes more than its energy", &d.id, p.steps, energy - d.energy_kwh);
        let Some(on) = &plan.on else {
            let needed = d.min_kw > 0.0 || d.start_cost > 0.0 || d.min_on_steps.max(d.min_off_steps) > 1;
            l.excess("does not say on and off", &d.id, 0, f64::from(u8::from(needed)));
            continue;
        };
        switching::range(l, &d.id, on, kw, (d.min_kw, d.power_kw));
        let times = Times {
            initial_on: d.initial_on,
            up: d.min_on_steps,
            down: d.min_off_steps,
        };
        switching::times(l, &d.id, on, times);
    }
}
