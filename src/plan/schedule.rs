//! A solution placed on the site: signs turned passive, parts of a component added up, values and reasons attached.

use super::Sensitivity;
use super::explain;
use super::problem::{component_of, effective_prices};
use crate::model::{
    CheckReport, Forecast, GridProblem, NextPeak, PlacedProblem, PlanValues, Schedule, Solution, Trigger,
};
use crate::site::{Id, Kind, Plant};
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// What a schedule is made of.
pub struct Made<'a> {
    pub plant: &'a Plant,
    pub placed: &'a PlacedProblem,
    pub solution: Solution,
    pub sensitivity: Option<&'a Sensitivity>,
    /// Worth of a stored kWh by battery where it is not the plan's own dual (hedged over several days' sun).
    pub worth: BTreeMap<String, Vec<f64>>,
    pub forecast: &'a Forecast,
    pub id: u64,
    pub trigger: Trigger,
    pub now: Timestamp,
}

/// Places a solution on the site: signs, marginal values, explanation. `check` is filled in by the caller.
///
/// `buy` and `sell` are what the objective charges and pays for a kWh at the meter (money weight, carbon and
/// self-sufficiency included), so that they compare with `marginal_value`.
pub fn schedule(made: Made<'_>) -> Schedule {
    let Made {
        plant,
        placed,
        solution,
        forecast,
        ..
    } = made;
    let power_kw = powers(plant, placed, &solution.plan, forecast);
    let mut marginal_value = marginal_values(placed, &solution);
    for (id, values) in made.worth {
        marginal_value.insert(Id::new(component_of(&id)), values);
    }
    let (buy, sell) = effective_prices(plant, forecast);
    let (peak_kw, next_peak) = peak(placed, &solution.plan);
    let steps = placed.problem.steps;
    let why = explain::why(&explain::Facts {
        plant,
        problem: &placed.problem,
        solution: &solution,
        sensitivity: made.sensitivity,
        forecast,
        grid: &placed.grid,
        power_kw: &power_kw,
        value: &marginal_value,
        buy: &buy,
        sell: &sell,
    });
    Schedule {
        id: made.id,
        made_at: made.now,
        grid: placed.grid.clone(),
        peak_kw,
        next_peak,
        price_estimated: (0..steps)
            .map(|t| forecast.buy.get(t).copied().flatten().is_none_or(|p| p.estimated))
            .collect(),
        buy,
        sell,
        load_kw: total(placed, forecast.load.values().map(|q| &q.mean)),
        pv_kw: total(placed, forecast.pv.values().map(|q| &q.mean)),
        node_price: node_prices(&solution),
        price_one_sided: made
            .sensitivity
            .map_or_else(Vec::new, |s| s.two_sided.iter().map(|both| !both).collect()),
        why,
        power_kw,
        marginal_value,
        trigger: made.trigger,
        check: CheckReport {
            ok: false,
            max_residual: f64::NAN,
            cost: f64::NAN,
            faults: vec!["not checked".into()],
        },
        solution,
        placed: None,
    }
}

/// Price of a kWh at components behind circuits that bind somewhere in the horizon.
fn node_prices(solution: &Solution) -> BTreeMap<Id, Vec<f64>> {
    let Some(duals) = &solution.duals else {
        return BTreeMap::new();
    };
    let mut all: BTreeMap<Id, Vec<f64>> = BTreeMap::new();
    for (part, adders) in &duals.nodes {
        let prices = all
            .entry(Id::new(component_of(part)))
            .or_insert_with(|| duals.bus.clone());
        prices.iter_mut().zip(adders).for_each(|(price, adder)| *price += adder);
    }
    all
}

/// Sum of forecast means by step.
fn total<'a>(placed: &PlacedProblem, series: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let mut sum = vec![0.0; placed.problem.steps];
    for values in series {
        sum.iter_mut().zip(values).for_each(|(total, v)| *total += v);
    }
    sum
}

/// kW into each component, by step.
fn powers(plant: &Plant, placed: &PlacedProblem, plan: &PlanValues, forecast: &Forecast) -> BTreeMap<Id, Vec<f64>> {
    let steps = placed.problem.steps;
    let mut all: BTreeMap<Id, Vec<f64>> = plant
        .components
        .keys()
        .map(|id| (id.clone(), vec![0.0; steps]))
        .collect();
    let mut add = |part: &str, sign: f64, kw: &[f64]| {
        if let Some(sum) = all.get_mut(component_of(part)) {
            sum.iter_mut().zip(kw).for_each(|(total, v)| *total += sign * v);
        }
    };
    if let Some(c) = &plant.connection {
        add(c.meter.as_str(), 1.0, &plan.import_kw);
        add(c.meter.as_str(), -1.0, &plan.export_kw);
    }
    plan.pv_kw.iter().for_each(|(id, kw)| add(id, -1.0, kw));
    for (id, b) in &plan.batteries {
        add(id, 1.0, &b.charge_kw);
        add(id, -1.0, &b.discharge_kw);
    }
    plan.evs.iter().for_each(|(id, ev)| add(id, 1.0, &ev.charge_kw));
    plan.gensets.iter().for_each(|(id, g)| add(id, -1.0, &g.power_kw));
    plan.shiftable_kw.iter().for_each(|(id, kw)| add(id, 1.0, kw));
    for s in &placed.problem.sheddable {
        add(&s.id, 1.0, &s.load_kw);
        if let Some(shed) = plan.shed_kw.get(&s.id) {
            add(&s.id, -1.0, shed);
        }
    }
    let pumps = plan.heat.iter().flat_map(|h| &h.heat_pumps);
    pumps.for_each(|(id, h)| add(id, 1.0, &h.electric_kw));
    for (id, component) in &plant.components {
        if let (Kind::Load(_), Some(q)) = (&component.kind, forecast.load.get(id)) {
            add(id.as_str(), 1.0, &q.mean);
        }
    }
    all
}

/// Worth of one more kWh in each store by step: battery, tank (under its heat pump), car (while it is there; 0 otherwise).
fn marginal_values(placed: &PlacedProblem, solution: &Solution) -> BTreeMap<Id, Vec<f64>> {
    let Some(duals) = &solution.duals else {
        return BTreeMap::new();
    };
    let stores = duals.storage.iter().chain(&duals.tanks);
    let mut all: BTreeMap<Id, Vec<f64>> = stores
        .map(|(id, values)| (Id::new(component_of(id)), values.clone()))
        .collect();
    for ev in &placed.problem.evs {
        let Some(value) = duals.evs.get(&ev.id) else { continue };
        let series = all
            .entry(Id::new(component_of(&ev.id)))
            .or_insert_with(|| vec![0.0; placed.problem.steps]);
        let window = ev.arrive_step..ev.depart_step;
        series
            .iter_mut()
            .enumerate()
            .filter(|(t, _)| window.contains(t))
            .for_each(|(_, v)| *v = *value);
    }
    all
}

/// Highest window mean of import the plan pays for in the billing month that runs, and in the one that begins within the
/// horizon; `None` where power has no price.
fn peak(placed: &PlacedProblem, plan: &PlanValues) -> (Option<f64>, Option<NextPeak>) {
    let p = &placed.problem;
    let Some(g) = &p.grid else { return (None, None) };
    let windows = window_means(placed, g, plan);
    let mut months = g.demands(p.steps).into_iter().map(|d| {
        let first = d.groups.iter().position(Option::is_some);
        let counted = windows.iter().filter(|(t, _)| d.groups[*t].is_some());
        let paid = if d.peaks == 1 { d.billed([]) } else { 0.0 };
        (first, counted.map(|(_, kw)| *kw).fold(paid, f64::max))
    });
    if let Some((_, now)) = months.next() {
        let next = months.next().and_then(|(first, kw)| next_peak(placed, first?, kw));
        return (Some(now), next);
    }
    let Some(c) = g.capacity else { return (None, None) };
    let next = c.next_month_step.unwrap_or(p.steps);
    let of = |steps: std::ops::Range<usize>| {
        let counted = windows.iter().filter(|(t, _)| steps.contains(t));
        counted.map(|(_, kw)| *kw).fold(c.free_kw(steps.start), f64::max)
    };
    (
        Some(of(0..next)),
        c.next_month_step.and_then(|t| next_peak(placed, t, of(t..p.steps))),
    )
}

fn next_peak(placed: &PlacedProblem, step: usize, kw: f64) -> Option<NextPeak> {
    let from = placed.grid.intervals().nth(step)?.start;
    Some(NextPeak { from, kw })
}

/// First step and mean import of each metering window.
fn window_means(placed: &PlacedProblem, g: &GridProblem, plan: &PlanValues) -> Vec<(usize, f64)> {
    let mut windows: BTreeMap<usize, (usize, f64, f64)> = BTreeMap::new();
    for (t, dt) in placed.grid.hours().iter().enumerate() {
        let first = g
            .first_window
            .filter(|_| t == 0)
            .map_or((t, 0.0, 0.0), |w| (t, w.past_hours, w.imported_kwh));
        let entry = windows.entry(g.window(t)).or_insert(first);
        entry.1 += dt;
        entry.2 += dt * plan.import_kw[t];
    }
    windows.into_values().map(|(t, hours, kwh)| (t, kwh / hours)).collect()
}
