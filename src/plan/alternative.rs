//! What else a part of the problem could do in one step, and what that would cost: the problem is solved again with the
//! other choice fixed (exact), or bounded from the duals where that is all there is.
//!
//! In: Problem, its Solution. Out: [`Alternative`]s, and one-sided prices by small perturbations.

use super::choices::{choice_length, choices};
use super::extract;
use super::formulation::Model;
use super::program::Var;
use super::sensitivity::Sensitivity;
use super::steady::Mode;
use super::{SolveError, SolveOptions, solve_edited};
use crate::model::{Action, Alternative, Basis, Problem, Solution, Violation};
use crate::time::Stopwatch;
use std::collections::BTreeMap;
use std::rc::Rc;

/// One part told to do something in one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Id in the problem.
    pub part: String,
    pub step: usize,
    pub action: Action,
    pub power_kw: f64,
    /// It cannot cost less than this more than the plan, from the duals; `None` where nothing is known.
    pub at_least: Option<f64>,
}

/// Missed wishes whose price is no money that anybody pays: energy that was asked for.
const SERVICE: [&str; 6] = [
    "unserved_load",
    "ev_shortfall",
    "ev_demand",
    "heat_unserved",
    "missed_run",
    "missed_energy",
];
/// The same of comfort, kelvin hours.
const COMFORT: [&str; 2] = ["too_cold", "too_warm"];

/// The best other choice of every part in `step`, solved exactly, until half the deadline is over (where there is one).
pub fn alternatives(
    problem: &Problem,
    solution: &Solution,
    sensitivity: Option<&Sensitivity>,
    step: usize,
    options: &SolveOptions,
) -> BTreeMap<String, Alternative> {
    let watch = Stopwatch::start();
    let mut all = BTreeMap::new();
    for part in parts(problem) {
        // people can wait for an explanation, control cannot
        if options.deadline.is_some_and(|d| watch.wall() > d / 2) {
            break;
        }
        if let Some(best) = exact(problem, solution, sensitivity, part, step, options) {
            all.insert(part.to_owned(), best);
        }
    }
    all
}

/// Ids that have a choice at all.
fn parts(p: &Problem) -> Vec<&str> {
    let mut all: Vec<&str> = Vec::new();
    all.extend(p.batteries.iter().map(|x| x.id.as_str()));
    all.extend(p.evs.iter().map(|x| x.id.as_str()));
    all.extend(p.gensets.iter().map(|x| x.id.as_str()));
    all.extend(p.pv.iter().map(|x| x.id.as_str()));
    all.extend(p.hydro.iter().map(|x| x.id.as_str()));
    all.extend(p.shiftable.iter().map(|x| x.id.as_str()));
    all.extend(p.sheddable.iter().map(|x| x.id.as_str()));
    all.extend(p.deferrable.iter().map(|x| x.id.as_str()));
    if let Some(h) = &p.heat {
        all.extend(h.heat_pumps.iter().map(|x| x.id.as_str()));
        all.extend(h.chps.iter().map(|x| x.id.as_str()));
        all.extend(h.boilers.iter().map(|x| x.id.as_str()));
    }
    all
}

/// The best other choice of one part, by solving the problem again for each that may be the best.
pub fn exact(
    problem: &Problem,
    solution: &Solution,
    sensitivity: Option<&Sensitivity>,
    part: &str,
    step: usize,
    options: &SolveOptions,
) -> Option<Alternative> {
    let mut choices = choices(problem, solution, sensitivity, part, step);
    choices.sort_by(|a, b| low(a).total_cmp(&low(b)));
    let base = total(solution);
    let mut best: Option<(f64, Alternative)> = None;
    for choice in &choices {
        if best.as_ref().is_some_and(|(extra, _)| low(choice) >= *extra) {
            break;
        }
        let Ok(other) = forced(problem, choice, options) else {
            continue;
        };
        let extra = total(&other) - base;
        if best.as_ref().is_none_or(|(least, _)| extra < *least) {
            best = Some((extra, told(choice, solution, &other)));
        }
    }
    best.map(|(_, alternative)| alternative)
}

fn low(choice: &Choice) -> f64 {
    choice.at_least.unwrap_or(0.0)
}

/// A bound for a later step from the duals alone: the choice with the smallest one.
pub fn bounded(
    problem: &Problem,
    solution: &Solution,
    sensitivity: &Sensitivity,
    part: &str,
    step: usize,
) -> Option<Alternative> {
    let choices = choices(problem, solution, Some(sensitivity), part, step);
    let known: Option<Vec<(f64, Choice)>> = choices
        .into_iter()
        .map(|c| c.at_least.map(|least| (least, c)))
        .collect();
    let (least, choice) = known?.into_iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Alternative {
        action: choice.action,
        power_kw: choice.power_kw,
        extra_cost: least,
        missed_kwh: 0.0,
        missed_kelvin_hours: 0.0,
        basis: Basis::AtLeast,
    })
}

fn told(choice: &Choice, base: &Solution, other: &Solution) -> Alternative {
    let more = |amount: fn(&Solution, &str) -> f64| (amount(other, &choice.part) - amount(base, &choice.part)).max(0.0);
    Alternative {
        action: choice.action,
        power_kw: choice.power_kw,
        extra_cost: bill(other) - bill(base),
        missed_kwh: more(missed_energy),
        missed_kelvin_hours: more(missed_comfort),
        basis: Basis::Exact,
    }
}

/// Money without what missing a wish is priced at.
fn bill(s: &Solution) -> f64 {
    let priced = |v: &&Violation| SERVICE.contains(&v.name.as_str()) || COMFORT.contains(&v.name.as_str());
    s.objective - s.violations.iter().filter(priced).map(|v| v.cost).sum::<f64>()
}

/// Money with every broken wish at its price.
pub fn total(s: &Solution) -> f64 {
    let beside = |v: &&Violation| !extract::in_objective(&v.name);
    s.objective + s.violations.iter().filter(beside).map(|v| v.cost).sum::<f64>()
}

/// Of a car its own energy, else what anybody would miss.
fn missed_energy(s: &Solution, part: &str) -> f64 {
    let of_car = s.plan.evs.contains_key(part);
    let concerns = |v: &&Violation| match v.name.as_str() {
        "ev_shortfall" | "ev_demand" if of_car => v.component == part,
        name => SERVICE.contains(&name),
    };
    s.violations.iter().filter(concerns).map(|v| v.amount).sum()
}

fn missed_comfort(s: &Solution, _: &str) -> f64 {
    let concerns = |v: &&Violation| COMFORT.contains(&v.name.as_str());
    s.violations.iter().filter(concerns).map(|v| v.amount).sum()
}

/// The problem with the choice fixed, solved.
pub fn forced(problem: &Problem, choice: &Choice, options: &SolveOptions) -> Result<Solution, SolveError> {
    let mut p = problem.clone();
    let mut start_cost = 0.0;
    if let Some(g) = p.gensets.iter_mut().find(|g| g.id == choice.part && choice.step == 0) {
        // said as history, so that every search knows it: switched just now, and bound for its minimum time
        let on = choice.action == Action::Run;
        start_cost = if on && !g.initial_on { g.start_cost } else { 0.0 };
        if on != g.initial_on {
            g.fixed_steps = if on { g.min_up_steps } else { g.min_down_steps }.max(1);
        } else {
            g.fixed_steps = g.fixed_steps.max(1);
        }
        g.initial_on = on;
    }
    if let Some(s) = p.shiftable.iter_mut().find(|s| s.id == choice.part) {
        match choice.action {
            Action::Run => s.latest_step = choice.step + choice_length(problem, s.duration_hours, choice.step),
            _ => s.earliest_step = s.earliest_step.max(choice.step + 1),
        }
    }
    let mut solution = solve_edited(&p, p.elastic, options, &|m| force(m, choice))?;
    solution.objective += start_cost;
    Ok(solution)
}

/// Fixes the columns of the choice.
fn force(m: &mut Model<'_>, choice: &Choice) {
    let mut fixed = storage_columns(m, choice);
    fixed.extend(engine_columns(m, choice));
    fixed.extend(heat_columns(m, choice));
    fixed.extend(load_columns(m, choice));
    for (v, value) in fixed {
        (m.program.low[v.0], m.program.high[v.0]) = (value, value);
    }
}

type Fixed = Vec<(Var, f64)>;

/// 1 where the choice is to do something.
fn on(choice: &Choice) -> f64 {
    f64::from(u8::from(choice.power_kw > 0.0))
}

fn storage_columns(m: &Model<'_>, choice: &Choice) -> Fixed {
    let (t, part) = (choice.step, choice.part.as_str());
    let when = |action| if choice.action == action { choice.power_kw } else { 0.0 };
    let (charge, discharge) = (when(Action::Charge), when(Action::Discharge));
    let mut fixed = Fixed::new();
    if let Some((_, v)) = m.p.batteries.iter().zip(&m.batteries).find(|(b, _)| b.id == part) {
        fixed.extend([(v.charge[t], charge), (v.discharge[t], discharge)]);
    }
    if let Some((_, v)) = m.p.evs.iter().zip(&m.evs).find(|(e, _)| e.id == part) {
        let k = t - v.arrive;
        fixed.push((v.charge[k], charge));
        fixed.extend(v.discharge.get(k).map(|d| (*d, discharge)));
        fixed.extend(v.on.get(k).map(|z| (*z, f64::from(u8::from(charge > 0.0)))));
    }
    fixed
}

fn engine_columns(m: &Model<'_>, choice: &Choice) -> Fixed {
    let (t, kw, part) = (choice.step, choice.power_kw, choice.part.as_str());
    let mut fixed = Fixed::new();
    if let Some((_, v)) = m.p.gensets.iter().zip(&m.gensets).find(|(g, _)| g.id == part) {
        let on = f64::from(u8::from(choice.action == Action::Run));
        fixed.extend(v.on.get(t).map(|z| (*z, on)));
        if v.on.is_empty() && choice.action == Action::Off {
            fixed.push((v.power[t], 0.0));
        }
    }
    if let Some((_, v)) = m.p.pv.iter().zip(&m.pv).find(|(p, _)| p.id == part) {
        fixed.push((v[t], kw));
    }
    if let Some((h, v)) = m.p.hydro.iter().zip(&m.hydro).find(|(h, _)| h.id == part) {
        fixed.push((v.turbine[t], kw / h.kw_per_m3s));
    }
    fixed
}

fn heat_columns(m: &Model<'_>, choice: &Choice) -> Fixed {
    let (t, kw, part) = (choice.step, choice.power_kw, choice.part.as_str());
    let mut fixed = Fixed::new();
    let (Some(h), Some(v)) = (&m.p.heat, &m.heat) else {
        return fixed;
    };
    if let Some(k) = h.heat_pumps.iter().position(|x| x.id == part) {
        fixed.push((v.heat_pumps[k][t], kw));
    }
    if let Some(k) = h.boilers.iter().position(|x| x.id == part) {
        fixed.push((v.boilers[k][t], kw));
    }
    if let Some(k) = h.chps.iter().position(|x| x.id == part) {
        fixed.push((v.chps[k].electric[t], kw));
        fixed.extend(v.chps[k].switched.iter().map(|s| (s.on[t], on(choice))));
    }
    fixed
}

fn load_columns(m: &Model<'_>, choice: &Choice) -> Fixed {
    let (t, part) = (choice.step, choice.part.as_str());
    let mut fixed = Fixed::new();
    if let Some((_, v)) = m.p.sheddable.iter().zip(&m.shed).find(|(s, _)| s.id == part) {
        fixed.push((v[t], 0.0));
    }
    if let Some((_, v)) = m.p.deferrable.iter().zip(&m.deferrable).find(|(d, _)| d.id == part) {
        fixed.push((v.power[t], choice.power_kw));
        fixed.extend(v.switched.iter().map(|s| (s.on[t], on(choice))));
    }
    fixed
}

/// Holds a battery or car in the first step at what it did: its direction, or rest. A car goes on with at least a quarter
/// of its power, so that it stays on.
pub fn force_kept(m: &mut Model<'_>, part: &str, was: Mode) {
    let mut none = Vec::new();
    if let Some((_, v)) = m.p.batteries.iter().zip(&m.batteries).find(|(b, _)| b.id == part) {
        none.extend((was != Mode::Draws).then_some(v.charge[0]));
        none.extend((was != Mode::Gives).then_some(v.discharge[0]));
    }
    if let Some((e, v)) = m.p.evs.iter().zip(&m.evs).find(|(e, _)| e.id == part)
        && let Some(x) = v.charge.first().copied()
    {
        match was {
            Mode::Draws => {
                let most = m.program.high[x.0].min(e.energy_needed_kwh / (e.charge_eff * m.dt[0]));
                m.program.low[x.0] = (0.25 * m.program.high[x.0]).min(most);
            }
            _ => none.push(x),
        }
    }
    for v in none {
        (m.program.low[v.0], m.program.high[v.0]) = (0.0, 0.0);
    }
}

/// What a little more and a little less would change, money per kWh: the derivatives on either side.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct BothSides {
    pub less: f64,
    pub more: f64,
}

/// Of load on the bus in step `t`, by solving twice; `eps` kWh.
pub fn bus_price(problem: &Problem, t: usize, eps: f64, options: &SolveOptions) -> Result<BothSides, SolveError> {
    both(eps, |change| {
        solve_edited(problem, problem.elastic, options, &|m| {
            let row = m.bus_rows[t];
            Rc::make_mut(&mut m.program.rows)[row.0].rhs += change / m.dt[t];
        })
    })
}

/// Of energy in a battery at the end of step `t`: what `eps` kWh more or less of it are worth.
pub fn stored_value(
    problem: &Problem,
    part: &str,
    t: usize,
    eps: f64,
    options: &SolveOptions,
) -> Result<BothSides, SolveError> {
    let sides = both(eps, |change| {
        solve_edited(problem, problem.elastic, options, &|m| {
            if let Some((_, v)) = m.p.batteries.iter().zip(&m.batteries).find(|(b, _)| b.id == part) {
                let row = v.energy_rows[t];
                Rc::make_mut(&mut m.program.rows)[row.0].rhs += change;
            }
        })
    })?;
    // less cost is more worth
    Ok(BothSides {
        less: -sides.less,
        more: -sides.more,
    })
}

fn both(eps: f64, solve: impl Fn(f64) -> Result<Solution, SolveError>) -> Result<BothSides, SolveError> {
    let cost = |change: f64| solve(change).map(|s| total(&s));
    let here = cost(0.0)?;
    Ok(BothSides {
        less: (here - cost(-eps)?) / eps,
        more: (cost(eps)? - here) / eps,
    })
}
