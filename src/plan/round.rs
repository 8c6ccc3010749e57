//! A quick point with whole numbers: from the relaxation's prices, run-once loads take their cheapest start, generators
//! the best on/off path (dynamic programme), chargers what they mostly do; the LP then settles the rest.

use super::commit;
use super::formulation::{Model, Run};
use super::program::{Program, Var};
use super::solver::Answer;
use crate::model::GensetProblem;

/// Share of its power that a generator runs at in the relaxation before rounding leans towards running it: prices alone
/// are degenerate where it is marginal.
const LEAN: f64 = 0.05;

/// Rounds the relaxed answer to whole numbers and solves the rest; `None` where that gives no point.
pub fn round(
    program: &Program,
    model: &Model<'_>,
    relaxed: &Answer,
    lp: &dyn Fn(&Program) -> Result<Answer, String>,
) -> Option<Answer> {
    let mut x = relaxed.x.clone();
    x.resize(program.cost.len(), 0.0);
    // exclusive pairs and anything else: nearest whole number
    for (i, v) in x.iter_mut().enumerate().filter(|(i, _)| program.integer[*i]) {
        *v = v.round().clamp(program.low[i], program.high[i]);
    }
    let price: Vec<f64> = bus_prices(model, relaxed);
    round_shiftables(model, &price, &mut x);
    round_chargers(model, relaxed, &mut x);
    round_pairs(program, relaxed, &mut x);
    round_fills(model, relaxed, &mut x);
    round_switched(model, relaxed, &mut x);
    match commit::path(model, &x) {
        Some(path) => set_path(&model.gensets[0].on, &path, &mut x),
        None => round_gensets(model, &price, relaxed, &mut x),
    }
    lp(&program.fixed_at(&x))
        .or_else(|_| lp(&program.fixed_at(&resting(program, model, &x, true))))
        .or_else(|_| lp(&program.fixed_at(&resting(program, model, &x, false))))
        .ok()
}

/// A point that is nearly always possible: nothing runs that need not. Generators stay as they are, which keeps every
/// minimum time, or (where that gives more than can be taken) stop as soon as they may; directions stay as in `x`.
fn resting(program: &Program, model: &Model<'_>, x: &[f64], keep_gensets: bool) -> Vec<f64> {
    let mut rest = x.to_vec();
    let own = model.program.cost.len();
    for i in (0..own).filter(|i| program.integer[*i]) {
        rest[i] = program.low[i];
    }
    for (vars, g) in model.gensets.iter().zip(&model.p.gensets).filter(|_| keep_gensets) {
        vars.on
            .iter()
            .for_each(|z| rest[z.0] = f64::from(u8::from(g.initial_on)));
    }
    rest
}

/// Money per kWh on the bus; zero prices where the solver had no duals (rounding then follows the powers alone).
fn bus_prices(model: &Model<'_>, relaxed: &Answer) -> Vec<f64> {
    let dual = |t: usize| relaxed.duals.as_ref().map_or(0.0, |d| d[model.bus_rows[t].0]);
    model.steps().map(|t| dual(t) / model.dt[t]).collect()
}

fn round_shiftables(model: &Model<'_>, price: &[f64], x: &mut [f64]) {
    for s in &model.shiftable {
        let cost = |run: &Run| -> f64 {
            run.kw
                .iter()
                .enumerate()
                .map(|(i, kw)| kw * model.dt[run.first + i] * price[run.first + i])
                .sum()
        };
        let best = s
            .starts
            .iter()
            .enumerate()
            .min_by(|a, b| cost(&a.1.1).total_cmp(&cost(&b.1.1)));
        let chosen = best.map(|(k, _)| k);
        for (k, (z, _)) in s.starts.iter().enumerate() {
            x[z.0] = f64::from(u8::from(Some(k) == chosen));
        }
    }
}

/// Fills each charger's steps from the fullest one down until its relaxed energy fits at full power.
fn round_chargers(model: &Model<'_>, relaxed: &Answer, x: &mut [f64]) {
    for (ev, p) in model.evs.iter().zip(&model.p.evs).filter(|(ev, _)| !ev.on.is_empty()) {
        let mut order: Vec<usize> = (0..ev.charge.len()).collect();
        order.sort_by(|a, b| relaxed.x[ev.charge[*b].0].total_cmp(&relaxed.x[ev.charge[*a].0]));
        let dt = |k: usize| model.dt[ev.arrive + k];
        let mut left: f64 = (0..ev.charge.len()).map(|k| dt(k) * relaxed.x[ev.charge[k].0]).sum();
        for k in order {
            let on = left > 1e-6 && left >= 0.5 * p.charge_min_kw * dt(k);
            x[ev.on[k].0] = f64::from(u8::from(on));
            left -= if on { p.charge_max_kw * dt(k) } else { 0.0 };
        }
    }
}

/// Binaries of pairs stand behind the model's own columns, in the order of the rows that use them.
fn round_pairs(program: &Program, relaxed: &Answer, x: &mut [f64]) {
    for row in program
        .rows
        .iter()
        .filter(|r| r.family == "constraint_pair_exclusive" && r.rhs == 0.0)
    {
        // a − a_max·z ≤ 0
        if let [(a, _), (z, _)] = row.terms[..] {
            x[z.0] = f64::from(u8::from(relaxed.x.get(a.0).is_some_and(|v| *v > 1e-6)));
        }
    }
}

fn round_fills(model: &Model<'_>, relaxed: &Answer, x: &mut [f64]) {
    for f in &model.fills {
        let filled: f64 = f.total.terms.iter().map(|(v, k)| k * relaxed.x[v.0]).sum();
        x[f.full.0] = f64::from(u8::from(filled >= f.full_at - 1e-6));
    }
}

/// CHPs and deferrable loads: on in their fullest steps until their relaxed energy fits at full power, minimum times kept.
fn round_switched(model: &Model<'_>, relaxed: &Answer, x: &mut [f64]) {
    for (s, power) in model.switched() {
        let kw = |t: usize| relaxed.x[power[t].0];
        let most = |t: usize| model.program.high[power[t].0];
        let mut order: Vec<usize> = model.steps().collect();
        order.sort_by(|a, b| kw(*b).total_cmp(&kw(*a)));
        let mut left: f64 = model.steps().map(|t| model.dt[t] * kw(t)).sum();
        let mut wish = vec![false; power.len()];
        for t in order {
            wish[t] = left > 1e-6 && kw(t) > 1e-6;
            left -= if wish[t] { most(t) * model.dt[t] } else { 0.0 };
        }
        let may: Vec<bool> = model.steps().map(|t| most(t) > 0.0).collect();
        set_path(&s.on, &s.nearest_path(&wish, &may), x);
    }
}

fn round_gensets(model: &Model<'_>, price: &[f64], relaxed: &Answer, x: &mut [f64]) {
    for (vars, g) in model
        .gensets
        .iter()
        .zip(&model.p.gensets)
        .filter(|(v, _)| !v.on.is_empty())
    {
        let used = |t: usize| relaxed.x[vars.power[t].0] / g.max_kw.max(1e-9);
        let fuel = g.fuel_cost_per_kwh + model.p.co2_price_per_kg * g.co2_kg_per_kwh;
        // profit of being on in step t at these prices, leaning towards what the relaxation does
        let profit: Vec<f64> = model
            .steps()
            .map(|t| {
                let margin = price[t] - fuel;
                let power = if margin > 0.0 { g.max_kw } else { g.min_kw };
                let lean = if used(t) > LEAN {
                    g.no_load_cost_per_hour + (fuel - price[t]).max(0.0) * g.min_kw
                } else {
                    0.0
                };
                model.dt[t] * (margin * power - g.no_load_cost_per_hour + lean)
            })
            .collect();
        set_path(&vars.on, &best_path(g, &profit), x);
    }
}

fn set_path(on: &[Var], path: &[bool], x: &mut [f64]) {
    for (z, on) in on.iter().zip(path) {
        x[z.0] = f64::from(u8::from(*on));
    }
}

/// Best on/off path by dynamic programming over (state, steps it must still hold).
fn best_path(g: &GensetProblem, profit: &[f64]) -> Vec<bool> {
    let (up, down) = (g.min_up_steps.max(1), g.min_down_steps.max(1));
    let width = up.max(down);
    // value[on][hold]: best profit from step t on when in `on` and bound to it for `hold` more steps
    let mut value: Vec<[Vec<f64>; 2]> = vec![[vec![0.0; width + 1], vec![0.0; width + 1]]];
    for gain in profit.iter().rev() {
        let next = &value[value.len() - 1];
        let stay = |on: usize, hold: usize| f64::from(on as u8) * gain + next[on][hold.saturating_sub(1)];
        let best = |on: usize, hold: usize| {
            let (other, least, cost) = if on == 0 { (1, up, g.start_cost) } else { (0, down, 0.0) };
            let change = if hold == 0 {
                stay(other, least) - cost
            } else {
                f64::NEG_INFINITY
            };
            stay(on, hold).max(change)
        };
        let here = [0, 1].map(|on| (0..=width).map(|hold| best(on, hold)).collect());
        value.push(here);
    }
    value.reverse();
    walk(g, profit, &value)
}

fn walk(g: &GensetProblem, profit: &[f64], value: &[[Vec<f64>; 2]]) -> Vec<bool> {
    let (mut on, mut hold) = (usize::from(g.initial_on), g.fixed_steps.min(value[0][0].len() - 1));
    let mut path = Vec::with_capacity(profit.len());
    for (t, gain) in profit.iter().enumerate() {
        let next = &value[t + 1];
        let stay = |on: usize, hold: usize| f64::from(on as u8) * gain + next[on][hold.saturating_sub(1)];
        let other = 1 - on;
        let (least, cost) = if other == 1 {
            (g.min_up_steps, g.start_cost)
        } else {
            (g.min_down_steps, 0.0)
        };
        if t >= g.fixed_steps && hold == 0 && stay(other, least.max(1)) - cost > stay(on, hold) {
            (on, hold) = (other, least.max(1));
        }
        path.push(on == 1);
        hold = hold.saturating_sub(1);
    }
    path
}
