//! Generator: power, part-load curve, commitment, minimum up and down, start and no-load cost.

use super::Model;
use super::switching::{Switched, rows_minimum_times, rows_switching, variable_switching};
use crate::model::GensetProblem;
use crate::plan::program::{Expr, Var};

#[derive(Debug, Clone)]
pub struct GensetVars {
    pub power: Vec<Var>,
    /// Empty without commitment.
    pub on: Vec<Var>,
}

pub fn genset<'a>(m: &mut Model<'a>, g: &'a GensetProblem) {
    let power = m.per_step(|_| g.max_kw);
    for t in m.steps() {
        let dt = m.dt[t];
        let fuel = if g.part_load.is_empty() {
            g.fuel_cost_per_kwh
        } else {
            0.0
        };
        m.program
            .cost((fuel + m.p.co2_price_per_kg * g.co2_kg_per_kwh) * dt, power[t]);
        m.carbon += g.co2_kg_per_kwh * dt * power[t];
        m.draws(&g.id, t, -1.0 * power[t]);
    }
    constraint_genset_part_load(m, g, &power);
    let on = if g.commitment {
        commitment(m, g, &power)
    } else {
        Vec::new()
    };
    m.gensets.push(GensetVars { power, on });
}

fn commitment(m: &mut Model<'_>, g: &GensetProblem, power: &[Var]) -> Vec<Var> {
    let on = variable_genset_on(m, g);
    fix_genset_history(m, g, &on);
    constraint_genset_power(m, g, power, &on);
    let s = variable_switching(m, on, g.initial_on, (g.min_up_steps, g.min_down_steps));
    constraint_genset_switching(m, &s);
    constraint_genset_minimum_times(m, &s);
    for t in m.steps() {
        m.program.cost(g.no_load_cost_per_hour * m.dt[t], s.on[t]);
        m.program.cost(g.start_cost, s.start[t]);
    }
    s.on
}

/// `p = Σ segments`, each at its own fuel cost, filled in order.
fn constraint_genset_part_load(m: &mut Model<'_>, g: &GensetProblem, power: &[Var]) {
    let mut from = 0.0;
    let lengths: Vec<f64> = g
        .part_load
        .iter()
        .map(|s| s.up_to_kw - std::mem::replace(&mut from, s.up_to_kw))
        .collect();
    for t in m.steps().filter(|_| !lengths.is_empty()) {
        let parts: Vec<Var> = lengths.iter().map(|l| m.program.at(t).var(0.0, *l)).collect();
        for (part, segment) in parts.iter().zip(&g.part_load) {
            m.program.cost(segment.fuel_cost_per_kwh * m.dt[t], *part);
        }
        let costs: Vec<f64> = g.part_load.iter().map(|s| s.fuel_cost_per_kwh).collect();
        m.fill_in_order("constraint_genset_part_load", &parts, &costs);
        let sum = parts.iter().fold(Expr::default(), |sum, part| sum + *part);
        m.program.equal("constraint_genset_part_load", sum, power[t]);
    }
}

/// One binary a step, or one for each block of steps that decide together.
fn variable_genset_on(m: &mut Model<'_>, g: &GensetProblem) -> Vec<Var> {
    let block = |t: usize| g.commit_blocks.as_ref().and_then(|b| b.get(t).copied());
    let mut on: Vec<Var> = Vec::with_capacity(m.dt.len());
    for t in m.steps() {
        let same = t > g.fixed_steps && t > 0 && block(t).is_some() && block(t) == block(t - 1);
        let z = if same { on[t - 1] } else { m.program.at(t).binary() };
        on.push(z);
    }
    on
}

/// Minimum times already running hold the first steps.
fn fix_genset_history(m: &mut Model<'_>, g: &GensetProblem, on: &[Var]) {
    let held = f64::from(u8::from(g.initial_on));
    for z in on.iter().take(g.fixed_steps) {
        (m.program.low[z.0], m.program.high[z.0]) = (held, held);
    }
}

/// `min·on ≤ p ≤ max·on`
fn constraint_genset_power(m: &mut Model<'_>, g: &GensetProblem, power: &[Var], on: &[Var]) {
    for (p, z) in power.iter().zip(on) {
        m.program.at_most("constraint_genset_power", g.min_kw * *z, *p);
        m.program.at_most("constraint_genset_power", *p, g.max_kw * *z);
    }
}

/// `on_t − on_{t−1} = start − stop`
fn constraint_genset_switching(m: &mut Model<'_>, s: &Switched) {
    rows_switching(m, "constraint_genset_switching", s);
}

/// Sum of starts in the last `min_up` steps ≤ on; sum of stops in the last `min_down` ≤ 1 − on.
fn constraint_genset_minimum_times(m: &mut Model<'_>, s: &Switched) {
    rows_minimum_times(m, "constraint_genset_minimum_times", s);
}
