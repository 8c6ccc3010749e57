//! What else a part of the problem could do in one step, and what that would cost: the problem is solved again with the
//! other choice fixed (exact), or bounded from the duals where that is all there is.
//!
//! In: Problem, its Solution. Out: [`Alternative`]s, and one-sided prices by small perturbations.

use super::extract;
use super::formulation::Model;
use super::sensitivity::Sensitivity;
use super::steady::Mode;
use super::{SolveError, SolveOptions, solve_edited};
use crate::model::{Action, Alternative, Basis, IDLE_KW, Problem, Solution, Violation};
use crate::time::Stopwatch;
use std::collections::BTreeMap;

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

/// Violations that are money of the case: energy that somebody asked for.
const SERVICE: [&str; 3] = ["unserved_load", "ev_shortfall", "heat_unserved"];

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
fn parts(p: &Problem) -> impl Iterator<Item = &str> {
    let pumps = p.heat.iter().flat_map(|h| h.heat_pumps.iter().map(|x| x.id.as_str()));
    let storage = p.batteries.iter().map(|b| b.id.as_str());
    let storage = storage.chain(p.evs.iter().map(|e| e.id.as_str()));
    let engines = p.gensets.iter().map(|g| g.id.as_str());
    let loads = p.shiftable.iter().map(|s| s.id.as_str());
    let loads = loads.chain(p.sheddable.iter().map(|s| s.id.as_str()));
    storage
        .chain(engines)
        .chain(p.pv.iter().map(|v| v.id.as_str()))
        .chain(loads)
        .chain(pumps)
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
        basis: Basis::AtLeast,
    })
}

fn told(choice: &Choice, base: &Solution, other: &Solution) -> Alternative {
    let missed = missed(other, &choice.part) - missed(base, &choice.part);
    Alternative {
        action: choice.action,
        power_kw: choice.power_kw,
        extra_cost: bill(other) - bill(base),
        missed_kwh: missed.max(0.0),
        basis: Basis::Exact,
    }
}

/// Money without what missing a wish is priced at.
fn bill(s: &Solution) -> f64 {
    let priced = |v: &&Violation| SERVICE.contains(&v.name.as_str());
    s.objective - s.violations.iter().filter(priced).map(|v| v.cost).sum::<f64>()
}

/// Money with every broken wish at its price.
pub fn total(s: &Solution) -> f64 {
    let beside = |v: &&Violation| !extract::in_objective(&v.name);
    s.objective + s.violations.iter().filter(beside).map(|v| v.cost).sum::<f64>()
}

fn missed(s: &Solution, part: &str) -> f64 {
    let concerns = |v: &&Violation| match v.name.as_str() {
        "ev_shortfall" => v.component == part,
        name => SERVICE.contains(&name),
    };
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

/// Steps from `first` on that `hours` take.
fn choice_length(p: &Problem, hours: f64, first: usize) -> usize {
    let mut left = hours;
    (first..p.steps)
        .take_while(|t| {
            let goes_on = left > 1e-9;
            left -= p.step_hours.at(*t).unwrap_or(f64::NAN);
            goes_on
        })
        .count()
}

/// Fixes the columns of the choice.
fn force(m: &mut Model<'_>, choice: &Choice) {
    let (t, kw) = (choice.step, choice.power_kw);
    let part = choice.part.as_str();
    let mut fixed: Vec<(crate::plan::program::Var, f64)> = Vec::new();
    if let Some((_, v)) = m.p.batteries.iter().zip(&m.batteries).find(|(b, _)| b.id == part) {
        let charge = if choice.action == Action::Charge { kw } else { 0.0 };
        let discharge = if choice.action == Action::Discharge { kw } else { 0.0 };
        fixed.extend([(v.charge[t], charge), (v.discharge[t], discharge)]);
    }
    if let Some((_, v)) = m.p.evs.iter().zip(&m.evs).find(|(e, _)| e.id == part) {
        fixed.push((v.charge[t - v.arrive], kw));
        fixed.extend(v.on.get(t - v.arrive).map(|z| (*z, f64::from(u8::from(kw > 0.0)))));
    }
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
    if let Some((_, v)) = m.p.sheddable.iter().zip(&m.shed).find(|(s, _)| s.id == part) {
        fixed.push((v[t], 0.0));
    }
    if let (Some(h), Some(v)) = (&m.p.heat, &m.heat)
        && let Some(k) = h.heat_pumps.iter().position(|x| x.id == part)
    {
        fixed.push((v.heat_pumps[k][t], kw));
    }
    for (v, value) in fixed {
        (m.program.low[v.0], m.program.high[v.0]) = (value, value);
    }
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

/// Everything else the part could do in the step, as people would choose it.
pub fn choices(p: &Problem, s: &Solution, sensitivity: Option<&Sensitivity>, part: &str, t: usize) -> Vec<Choice> {
    let mut all = Vec::new();
    let mut add = |action, power_kw: f64, at_least: Option<f64>| {
        all.push(Choice {
            part: part.to_owned(),
            step: t,
            action,
            power_kw,
            at_least: at_least.map(|x| x.max(0.0)),
        });
    };
    if p.batteries.iter().any(|b| b.id == part) {
        battery(p, s, sensitivity, part, t, &mut add);
    } else if p.evs.iter().any(|e| e.id == part) {
        car(p, s, sensitivity, part, t, &mut add);
    } else if p.gensets.iter().any(|g| g.id == part) {
        generator(p, s, part, t, &mut add);
    } else {
        simple(p, s, part, t, &mut add);
    }
    all
}

type Add<'a> = &'a mut dyn FnMut(Action, f64, Option<f64>);

fn hours(p: &Problem, t: usize) -> f64 {
    p.step_hours.at(t).unwrap_or(f64::NAN)
}

fn battery(p: &Problem, s: &Solution, sensitivity: Option<&Sensitivity>, part: &str, t: usize, add: Add<'_>) {
    let (Some(b), Some(plan)) = (p.batteries.iter().find(|b| b.id == part), s.plan.batteries.get(part)) else {
        return;
    };
    let net = plan.charge_kw[t] - plan.discharge_kw[t];
    let dt = hours(p, t);
    let change = |charge: f64, discharge: f64| {
        let k = sensitivity?;
        let (c, d) = (k.charge.get(part)?.get(t)?, k.discharge.get(part)?.get(t)?);
        Some(dt * (c * (charge - plan.charge_kw[t]) + d * (discharge - plan.discharge_kw[t])))
    };
    if net.abs() > IDLE_KW {
        return add(Action::Rest, 0.0, change(0.0, 0.0));
    }
    let before = if t == 0 {
        b.soc_start_kwh
    } else {
        plan.energy_kwh[t - 1]
    };
    let sun: f64 = p.pv.iter().map(|v| v.available_kw[t]).sum();
    let surplus = (sun - p.load_kw[t]).max(0.0);
    let drain = b.standby_kw + b.loss_per_hour * before;
    let room = (b.soc_max_kwh - before) / dt + drain;
    let mut charge = b.charge_max_kw.min(room / b.charge_eff);
    if b.no_grid_charge {
        charge = charge.min(surplus);
    }
    let stock = (before - b.soc_min_kwh) / dt - drain;
    let mut discharge = b.discharge_max_kw.min(stock * b.discharge_eff);
    let need = s.plan.import_kw[t] - s.plan.export_kw[t];
    if b.no_grid_discharge || need > IDLE_KW {
        discharge = discharge.min(need.max(0.0));
    }
    // a hair inside, so that rounding leaves no crossed bounds
    let (charge, discharge) = (charge - 1e-6, discharge - 1e-6);
    if charge > 0.05 {
        add(Action::Charge, charge, change(charge, 0.0));
    }
    if discharge > 0.05 {
        add(Action::Discharge, discharge, change(0.0, discharge));
    }
}

fn car(p: &Problem, s: &Solution, sensitivity: Option<&Sensitivity>, part: &str, t: usize, add: Add<'_>) {
    let (Some(e), Some(plan)) = (p.evs.iter().find(|e| e.id == part), s.plan.evs.get(part)) else {
        return;
    };
    if !(e.arrive_step..e.depart_step.min(p.steps)).contains(&t) {
        return;
    }
    let dt = hours(p, t);
    let change = |kw: f64| Some(dt * sensitivity?.cars.get(part)?.get(t)? * (kw - plan.charge_kw[t]));
    if plan.charge_kw[t] > IDLE_KW {
        return add(Action::Rest, 0.0, change(0.0));
    }
    let before: f64 = (0..t).map(|k| e.charge_eff * hours(p, k) * plan.charge_kw[k]).sum();
    let mut kw = e
        .charge_max_kw
        .min((e.energy_needed_kwh - before) / (e.charge_eff * dt));
    if e.surplus_only {
        let sun: f64 = p.pv.iter().map(|v| v.available_kw[t]).sum();
        kw = kw.min((sun - p.load_kw[t]).max(0.0));
    }
    let kw = kw - 1e-6;
    if kw > 0.05 {
        add(Action::Charge, kw, change(kw));
    }
}

fn generator(p: &Problem, s: &Solution, part: &str, t: usize, add: Add<'_>) {
    let (Some(g), Some(plan)) = (p.gensets.iter().find(|g| g.id == part), s.plan.gensets.get(part)) else {
        return;
    };
    if t < g.fixed_steps {
        return;
    }
    if plan.on[t] > 0.5 {
        add(Action::Off, 0.0, None);
    } else {
        add(Action::Run, g.min_kw, None);
    }
}

fn simple(p: &Problem, s: &Solution, part: &str, t: usize, add: Add<'_>) {
    if let (Some(v), Some(kw)) = (p.pv.iter().find(|v| v.id == part), s.plan.pv_kw.get(part))
        && v.curtailable
        && kw[t] < v.available_kw[t] - IDLE_KW
    {
        add(Action::Full, v.available_kw[t], None);
    }
    if let Some(shed) = s.plan.shed_kw.get(part)
        && shed[t] > IDLE_KW
    {
        add(Action::Full, 0.0, None);
    }
    if let (Some(x), Some(kw)) = (p.shiftable.iter().find(|x| x.id == part), s.plan.shiftable_kw.get(part))
        && x.running_hours <= 0.0
    {
        let starts = kw[t] > IDLE_KW && (t == 0 || kw[t - 1] <= IDLE_KW);
        let fits = t >= x.earliest_step && t + choice_length(p, x.duration_hours, t) <= x.latest_step.min(p.steps);
        if starts {
            add(Action::Off, 0.0, None);
        } else if kw[t] <= IDLE_KW && fits && kw[..t].iter().all(|kw| *kw <= IDLE_KW) {
            add(Action::Run, x.power_kw, None);
        }
    }
    let pumps = p.heat.iter().zip(&s.plan.heat);
    for (h, plan) in pumps.flat_map(|(h, v)| h.heat_pumps.iter().filter_map(|x| Some((x, v.heat_pumps.get(&x.id)?)))) {
        if h.id == part {
            match plan.electric_kw[t] > IDLE_KW {
                true => add(Action::Off, 0.0, None),
                false => add(Action::Run, h.electric_max_kw, None),
            }
        }
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
            m.program.rows[row.0].rhs += change / m.dt[t];
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
                m.program.rows[row.0].rhs += change;
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
