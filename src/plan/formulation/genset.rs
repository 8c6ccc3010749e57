//! Generator: power, commitment, minimum up and down, start and no-load cost.

use super::Model;
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
        m.program.cost(
            (g.fuel_cost_per_kwh + m.p.co2_price_per_kg * g.co2_kg_per_kwh) * dt,
            power[t],
        );
        m.carbon += g.co2_kg_per_kwh * dt * power[t];
        m.draws(&g.id, t, -1.0 * power[t]);
    }
    let on = if g.commitment {
        commitment(m, g, &power)
    } else {
        Vec::new()
    };
    m.gensets.push(GensetVars { power, on });
}

fn commitment(m: &mut Model<'_>, g: &GensetProblem, power: &[Var]) -> Vec<Var> {
    let on = variable_genset_on(m, g);
    let start = m.per_step(|_| 1.0);
    let stop = m.per_step(|_| 1.0);
    fix_genset_history(m, g, &on);
    constraint_genset_power(m, g, power, &on);
    constraint_genset_switching(m, g, &on, &start, &stop);
    constraint_genset_minimum_times(m, g, &on, &start, &stop);
    for t in m.steps() {
        m.program.cost(g.no_load_cost_per_hour * m.dt[t], on[t]);
        m.program.cost(g.start_cost, start[t]);
    }
    on
}

/// One binary a step, or one for each block of steps that decide together.
fn variable_genset_on(m: &mut Model<'_>, g: &GensetProblem) -> Vec<Var> {
    let block = |t: usize| g.commit_blocks.as_ref().and_then(|b| b.get(t).copied());
    let mut on: Vec<Var> = Vec::with_capacity(m.dt.len());
    for t in m.steps() {
        let same = t > g.fixed_steps && t > 0 && block(t).is_some() && block(t) == block(t - 1);
        let z = if same { on[t - 1] } else { m.program.binary() };
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
fn constraint_genset_switching(m: &mut Model<'_>, g: &GensetProblem, on: &[Var], start: &[Var], stop: &[Var]) {
    for t in m.steps() {
        let before: Expr = match t {
            0 => f64::from(u8::from(g.initial_on)).into(),
            _ => on[t - 1].into(),
        };
        m.program.equal(
            "constraint_genset_switching",
            1.0 * on[t] - before,
            1.0 * start[t] - stop[t],
        );
    }
}

/// Sum of starts in the last `min_up` steps ≤ on; sum of stops in the last `min_down` ≤ 1 − on.
fn constraint_genset_minimum_times(m: &mut Model<'_>, g: &GensetProblem, on: &[Var], start: &[Var], stop: &[Var]) {
    let recent = |v: &[Var], t: usize, n: usize| {
        v[(t + 1).saturating_sub(n.max(1))..=t]
            .iter()
            .fold(Expr::default(), |sum, v| sum + *v)
    };
    for t in m.steps() {
        m.program.at_most(
            "constraint_genset_minimum_times",
            recent(start, t, g.min_up_steps),
            on[t],
        );
        m.program.at_most(
            "constraint_genset_minimum_times",
            recent(stop, t, g.min_down_steps),
            Expr::from(1.0) - on[t],
        );
    }
}
