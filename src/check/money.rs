//! Money and carbon from the powers alone.

use super::ledger::Ledger;
use super::{hours, windows};
use crate::model::{GridProblem, PlanValues, Problem, Solution};
use std::collections::BTreeMap;

/// Σ over steps of hours × f(t).
fn over(p: &Problem, f: impl Fn(usize) -> f64) -> f64 {
    (0..p.steps).map(|t| hours(p, t) * f(t)).sum()
}

/// Highest window mean of import that is paid for, kW.
pub fn peak(p: &Problem, g: &GridProblem, plan: &PlanValues) -> f64 {
    windows(p, g, plan)
        .into_iter()
        .map(|(h, kwh)| kwh / h)
        .fold(g.peak_so_far_kw, f64::max)
}

/// kg emitted over the horizon.
pub fn carbon(p: &Problem, plan: &PlanValues) -> f64 {
    let mut kg = 0.0;
    if let Some(g) = &p.grid {
        kg += over(p, |t| g.co2_kg_per_kwh.at(t).unwrap_or(f64::NAN) * plan.import_kw[t]);
    }
    for g in &p.gensets {
        kg += g.co2_kg_per_kwh * over(p, |t| plan.gensets[&g.id].power_kw[t]);
    }
    if let (Some(h), Some(v)) = (&p.heat, &plan.heat) {
        for c in &h.chps {
            kg += c.fuel_kwh_per_kwh_el * c.co2_kg_per_kwh_fuel * over(p, |t| v.chps[&c.id].electric_kw[t]);
        }
        for b in &h.boilers {
            kg += b.co2_kg_per_kwh_fuel / b.efficiency * over(p, |t| v.boilers[&b.id].heat_kw[t]);
        }
    }
    kg
}

/// The case's objective for this plan.
pub fn cost(p: &Problem, plan: &PlanValues) -> f64 {
    let loads = over(p, |t| {
        p.unserved_cost_per_kwh * plan.unserved_kw[t] + p.spill_cost_per_kwh.map_or(0.0, |c| c * plan.spill_kw[t])
    });
    let grid = p.grid.as_ref().map_or(0.0, |g| grid_cost(p, g, plan));
    let stored: f64 = p.batteries.iter().map(|b| battery_cost(p, b, plan)).sum();
    let cars: f64 = p
        .evs
        .iter()
        .map(|e| e.shortfall_cost_per_kwh * plan.evs[&e.id].shortfall_kwh)
        .sum();
    let engines: f64 = p.gensets.iter().map(|g| genset_cost(p, g, plan)).sum();
    let shed: f64 = p
        .sheddable
        .iter()
        .map(|s| s.shed_cost_per_kwh * over(p, |t| plan.shed_kw[&s.id][t]))
        .sum();
    let carbon = p.co2_price_per_kg * carbon(p, plan);
    loads + grid + stored + cars + engines + shed + carbon + missed(p, plan) + heat_cost(p, plan) - water(p, plan)
}

fn grid_cost(p: &Problem, g: &GridProblem, plan: &PlanValues) -> f64 {
    let energy = over(p, |t| {
        (g.buy[t] + g.self_sufficiency_per_kwh) * plan.import_kw[t] - g.sell[t] * plan.export_kw[t]
    });
    let mut left = over(p, |t| plan.import_kw[t]);
    let mut blocks = 0.0;
    for b in &g.blocks {
        let used = b.size_kwh.map_or(left, |size| left.min(size));
        blocks += b.price * used;
        left -= used;
    }
    energy + blocks + g.demand_charge_per_kw * peak(p, g, plan)
}

fn battery_cost(p: &Problem, b: &crate::model::BatteryProblem, plan: &PlanValues) -> f64 {
    let v = &plan.batteries[&b.id];
    let wear = b.wear_cost_per_kwh * over(p, |t| v.charge_kw[t] + v.discharge_kw[t]);
    let reserve = b.reserve.filter(|r| r.kwh > b.soc_min_kwh);
    let below = reserve.map_or(0.0, |r| {
        r.cost_per_kwh_hour * over(p, |t| (r.kwh - v.energy_kwh[t]).max(0.0))
    });
    let end = v.energy_kwh.last().copied().unwrap_or(b.soc_start_kwh);
    wear + below - b.end_value_per_kwh * end
}

fn genset_cost(p: &Problem, g: &crate::model::GensetProblem, plan: &PlanValues) -> f64 {
    let v = &plan.gensets[&g.id];
    let fuel = g.fuel_cost_per_kwh * over(p, |t| v.power_kw[t]);
    if !g.commitment {
        return fuel;
    }
    let mut before = g.initial_on;
    let mut starts = 0.0;
    for on in v.on.iter().map(|o| *o > 0.5) {
        starts += f64::from(u8::from(on && !before));
        before = on;
    }
    let running = over(p, |t| f64::from(u8::from(v.on[t] > 0.5)));
    fuel + g.no_load_cost_per_hour * running + g.start_cost * starts
}

/// Run-once loads that do not run.
fn missed(p: &Problem, plan: &PlanValues) -> f64 {
    p.shiftable
        .iter()
        .filter(|s| s.running_hours <= 0.0)
        .map(|s| {
            let run = over(p, |t| plan.shiftable_kw[&s.id][t]);
            s.missed_cost_per_kwh * (s.power_kw * s.duration_hours - run)
        })
        .sum()
}

fn heat_cost(p: &Problem, plan: &PlanValues) -> f64 {
    let (Some(h), Some(v)) = (&p.heat, &plan.heat) else {
        return 0.0;
    };
    let chps = h
        .chps
        .iter()
        .map(|c| c.fuel_kwh_per_kwh_el * c.fuel_price_per_kwh * over(p, |t| v.chps[&c.id].electric_kw[t]));
    let boilers = h
        .boilers
        .iter()
        .map(|b| b.fuel_price_per_kwh / b.efficiency * over(p, |t| v.boilers[&b.id].heat_kw[t]));
    let tanks = h
        .tanks
        .iter()
        .map(|k| -k.end_value_per_kwh * v.tanks[&k.id].energy_kwh.last().copied().unwrap_or(k.start_kwh));
    h.unserved_cost_per_kwh * over(p, |t| v.unserved_kw[t]) + chps.chain(boilers).chain(tanks).sum::<f64>()
}

fn water(p: &Problem, plan: &PlanValues) -> f64 {
    let worth = |h: &crate::model::HydroProblem| {
        let v = &plan.hydro[&h.id];
        let gained = over(p, |t| 3600.0 * (h.inflow_m3s[t] - v.turbine_m3s[t] - v.spill_m3s[t]));
        h.water_value_per_m3 * (h.volume_start_m3 + gained)
    };
    p.hydro.iter().map(worth).sum()
}

/// The cost that the plan states is the cost it has, and the carbon cap holds.
pub fn compare(l: &mut Ledger<'_>, cost: f64) {
    let stated = l.s.objective;
    let tolerance = 2e-6 * stated.abs().max(1.0);
    let difference = (cost - stated).abs();
    if difference.is_nan() || difference > tolerance {
        l.fault(format!("money: the plan states {stated}, its powers cost {cost}"));
    }
    if let Some(cap) = l.p.co2_cap_kg {
        let excess = carbon(l.p, &l.s.plan) - cap;
        l.excess("above the carbon cap", "site", l.p.steps, excess, &["co2_cap"]);
    }
}

/// Totals that are equal in every optimal plan.
pub fn totals(p: &Problem, s: &Solution) -> BTreeMap<String, f64> {
    let energy = |kw: &[f64]| kw.iter().enumerate().map(|(t, v)| v * hours(p, t)).sum::<f64>();
    let mut all = BTreeMap::from([
        ("unserved_kwh".to_owned(), energy(&s.plan.unserved_kw)),
        ("co2_kg".to_owned(), carbon(p, &s.plan)),
    ]);
    if let Some(g) = &p.grid {
        all.insert("import_kwh".into(), energy(&s.plan.import_kw));
        all.insert("export_kwh".into(), energy(&s.plan.export_kw));
        all.insert("peak_kw".into(), peak(p, g, &s.plan));
    }
    for (id, ev) in &s.plan.evs {
        all.insert(format!("ev_shortfall_kwh:{id}"), ev.shortfall_kwh);
    }
    for (id, b) in &s.plan.batteries {
        if let Some(end) = b.energy_kwh.last() {
            all.insert(format!("soc_end_kwh:{id}"), *end);
        }
    }
    all
}
