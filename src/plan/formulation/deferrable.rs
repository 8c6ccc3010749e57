//! Loads that need an amount of energy inside a window and may pause.

use super::switching::{Switched, rows_minimum_times, rows_switching, variable_switching};
use super::{Model, Slack};
use crate::model::DeferrableProblem;
use crate::plan::program::{Expr, Var};

#[derive(Debug, Clone)]
pub struct DeferrableVars {
    pub power: Vec<Var>,
    /// Where on and off are decisions of their own.
    pub switched: Option<Switched>,
}

pub fn deferrable<'a>(m: &mut Model<'a>, d: &'a DeferrableProblem) {
    let may = |t: usize| (d.earliest_step..d.latest_step).contains(&t);
    let power = m.per_step(|t| if may(t) { d.power_kw } else { 0.0 });
    for t in m.steps() {
        m.draws(&d.id, t, power[t]);
    }
    constraint_deferrable_energy(m, d, &power);
    let switched = d.switches().then(|| {
        let on = m.steps().map(|t| m.program.at(t).binary()).collect();
        let s = variable_switching(m, on, d.initial_on, (d.min_on_steps, d.min_off_steps));
        constraint_deferrable_power(m, d, &power, &s);
        constraint_deferrable_switching(m, &s);
        constraint_deferrable_minimum_times(m, &s);
        for t in m.steps() {
            m.program.cost(d.start_cost, s.start[t]);
        }
        s
    });
    m.deferrable.push(DeferrableVars { power, switched });
}

/// `Σ dt·p + missed = energy`
fn constraint_deferrable_energy(m: &mut Model<'_>, d: &DeferrableProblem, power: &[Var]) {
    let missed = m.program.at(0).var(0.0, d.energy_kwh);
    m.slack(Slack {
        name: "missed_energy",
        component: d.id.clone(),
        var: missed,
        beyond: None,
        unit: "kWh",
        weight: 1.0,
        price: d.missed_cost_per_kwh,
        money: true,
    });
    let run = m.steps().fold(Expr::from(missed), |sum, t| sum + m.dt[t] * power[t]);
    m.program.equal("constraint_deferrable_energy", run, d.energy_kwh);
}

/// `min·on ≤ p ≤ max·on`
fn constraint_deferrable_power(m: &mut Model<'_>, d: &DeferrableProblem, power: &[Var], s: &Switched) {
    for (p, z) in power.iter().zip(&s.on) {
        let most = m.program.high[p.0];
        m.program.at_most("constraint_deferrable_power", d.min_kw * *z, *p);
        m.program.at_most("constraint_deferrable_power", *p, most * *z);
    }
}

/// `on_t − on_{t−1} = start − stop`
fn constraint_deferrable_switching(m: &mut Model<'_>, s: &Switched) {
    rows_switching(m, "constraint_deferrable_switching", s);
}

/// Sum of starts in the last `min_on` steps ≤ on; sum of stops in the last `min_off` ≤ 1 − on.
fn constraint_deferrable_minimum_times(m: &mut Model<'_>, s: &Switched) {
    rows_minimum_times(m, "constraint_deferrable_minimum_times", s);
}
