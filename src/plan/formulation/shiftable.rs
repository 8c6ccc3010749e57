//! Loads that run once, in one piece (one power or a sequence of phases), inside a window, perhaps after another.

use super::{Model, Slack};
use crate::model::{Phase, ShiftableProblem};
use crate::plan::program::{Expr, Var};

#[derive(Debug, Clone)]
pub struct ShiftableVars {
    /// Possible starts: the binary and its power by step (first step, kW of each).
    pub starts: Vec<(Var, Run)>,
    /// kW by step of a run that is already on.
    pub running_kw: Vec<f64>,
}

/// Mean power of a run in consecutive steps.
#[derive(Debug, Clone)]
pub struct Run {
    pub first: usize,
    pub kw: Vec<f64>,
}

pub fn shiftable<'a>(m: &mut Model<'a>, s: &'a ShiftableProblem) {
    let mut running_kw = vec![0.0; m.dt.len()];
    let mut starts = Vec::new();
    if s.running_hours > 0.0 {
        for (k, kw) in run_from(&m.dt, 0, &s.run()).kw.iter().enumerate() {
            running_kw[k] = *kw;
            m.draws(&s.id, k, *kw);
        }
    } else {
        starts = variable_shiftable_start(m, s);
        constraint_shiftable_once(m, s, &starts);
    }
    m.shiftable.push(ShiftableVars { starts, running_kw });
}

/// One binary a possible start.
fn variable_shiftable_start<'a>(m: &mut Model<'a>, s: &'a ShiftableProblem) -> Vec<(Var, Run)> {
    let latest = s.latest_step.min(m.dt.len());
    let phases = s.run();
    let hours: f64 = phases.iter().map(|p| p.hours).sum();
    let room = |k: usize| m.dt[k..latest].iter().sum::<f64>() >= hours - 1e-9;
    let firsts: Vec<usize> = (s.earliest_step..latest).filter(|k| room(*k)).collect();
    let mut starts = Vec::new();
    for k in firsts {
        let z = m.program.at(k).binary();
        let run = run_from(&m.dt, k, &phases);
        for (i, kw) in run.kw.iter().enumerate() {
            m.draws(&s.id, k + i, *kw * z);
        }
        starts.push((z, run));
    }
    starts
}

/// `Σ start + missed = 1`
fn constraint_shiftable_once(m: &mut Model<'_>, s: &ShiftableProblem, starts: &[(Var, Run)]) {
    let missed = m.program.at(0).var(0.0, 1.0);
    m.slack(Slack {
        name: "missed_run",
        component: s.id.clone(),
        var: missed,
        beyond: None,
        unit: "kWh",
        weight: s.energy_kwh(),
        price: s.missed_cost_per_kwh,
        money: true,
    });
    let once = starts.iter().fold(Expr::from(missed), |sum, (z, _)| sum + *z);
    m.program.equal("constraint_shiftable_once", once, 1.0);
}

/// In a sequence: started by step `k` ≤ the one before over by step `k` (+ too early, once a run).
pub fn constraint_shiftable_sequence(m: &mut Model<'_>) {
    let p = m.p;
    for (own, s) in p.shiftable.iter().enumerate() {
        let before = s
            .after
            .as_ref()
            .and_then(|id| p.shiftable.iter().position(|b| b.id == *id));
        let starts: Vec<usize> = m.shiftable[own].starts.iter().map(|(_, run)| run.first).collect();
        let Some(before) = before.filter(|_| !starts.is_empty()) else {
            continue;
        };
        let too_early = too_early(m, s);
        for k in starts {
            let ahead = started_by(&m.shiftable[own], k) - over_by(m, before, k) - too_early.clone();
            m.program.at_most("constraint_shiftable_sequence", ahead, 0.0);
        }
    }
}

/// 1 where a run may start before its turn: only in the elastic problem, at the price of limits.
fn too_early(m: &mut Model<'_>, s: &ShiftableProblem) -> Expr {
    let Some(elastic) = m.elastic else {
        return Expr::default();
    };
    let var = m.program.at(0).var(0.0, 1.0);
    m.slack(Slack {
        name: "too_early",
        component: s.id.clone(),
        var,
        beyond: None,
        unit: "kWh",
        weight: s.energy_kwh(),
        price: elastic.limit_per_kwh,
        money: false,
    });
    var.into()
}

fn started_by(v: &ShiftableVars, k: usize) -> Expr {
    let started = v.starts.iter().filter(|(_, run)| run.first <= k);
    started.fold(Expr::default(), |sum, (z, _)| sum + *z)
}

/// 1 where the run is over before step `k` begins.
fn over_by(m: &Model<'_>, which: usize, k: usize) -> Expr {
    let v = &m.shiftable[which];
    if m.p.shiftable[which].running_hours > 0.0 {
        let on = v.running_kw.iter().rposition(|kw| *kw > 0.0);
        return f64::from(u8::from(on.is_none_or(|last| last < k))).into();
    }
    let over = v.starts.iter().filter(|(_, run)| run.first + run.kw.len() <= k);
    over.fold(Expr::default(), |sum, (z, _)| sum + *z)
}

/// Mean power by step of a run that begins with step `first`.
fn run_from(dt: &[f64], first: usize, phases: &[Phase]) -> Run {
    let (mut kw, mut left) = (Vec::new(), phases.iter().copied());
    let mut phase = left.next();
    for step in &dt[first..] {
        let (mut room, mut energy) = (*step, 0.0);
        while let Some(p) = phase.as_mut().filter(|_| room > 1e-9) {
            let hours = p.hours.min(room);
            energy += p.power_kw * hours;
            room -= hours;
            p.hours -= hours;
            if p.hours <= 1e-9 {
                phase = left.next();
            }
        }
        if room >= *step {
            break;
        }
        kw.push(energy / step);
    }
    Run { first, kw }
}
