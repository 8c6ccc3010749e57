//! Loads that run once, in one piece, inside a window.

use super::Model;
use crate::model::ShiftableProblem;
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
    let running = run_from(&m.dt, 0, s.running_hours, s.power_kw);
    let mut running_kw = vec![0.0; m.dt.len()];
    for (k, kw) in running.kw.iter().enumerate() {
        running_kw[k] = *kw;
        m.draws(&s.id, k, *kw);
    }
    let starts = if s.running_hours > 0.0 {
        Vec::new()
    } else {
        variable_shiftable_start(m, s)
    };
    m.shiftable.push(ShiftableVars { starts, running_kw });
}

/// One binary a possible start; `Σ start + missed = 1`.
fn variable_shiftable_start<'a>(m: &mut Model<'a>, s: &'a ShiftableProblem) -> Vec<(Var, Run)> {
    let latest = s.latest_step.min(m.dt.len());
    let room = |k: usize| m.dt[k..latest].iter().sum::<f64>() >= s.duration_hours - 1e-9;
    let firsts: Vec<usize> = (s.earliest_step..latest).filter(|k| room(*k)).collect();
    let mut starts = Vec::new();
    for k in firsts {
        let z = m.program.binary();
        let run = run_from(&m.dt, k, s.duration_hours, s.power_kw);
        for (i, kw) in run.kw.iter().enumerate() {
            m.draws(&s.id, k + i, *kw * z);
        }
        starts.push((z, run));
    }
    constraint_shiftable_once(m, s, &starts);
    starts
}

fn constraint_shiftable_once(m: &mut Model<'_>, s: &ShiftableProblem, starts: &[(Var, Run)]) {
    let missed = m.program.var(0.0, 1.0);
    m.program
        .cost(s.missed_cost_per_kwh * s.power_kw * s.duration_hours, missed);
    let once = starts.iter().fold(Expr::from(missed), |sum, (z, _)| sum + *z);
    m.program.equal("constraint_shiftable_once", once, 1.0);
}

/// Power by step of a run of `hours` that begins with step `first`.
fn run_from(dt: &[f64], first: usize, hours: f64, power: f64) -> Run {
    let mut left = hours;
    let mut kw = Vec::new();
    for step in &dt[first..] {
        if left <= 1e-9 {
            break;
        }
        kw.push(power * left.min(*step) / step);
        left -= step;
    }
    Run { first, kw }
}
