//! Money and carbon from the powers alone.

use super::ledger::Ledger;
use super::{hours, soft, windows};
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
        .map(|(_, h, kwh)| kwh / h)
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
            kg += c.co2_kg_per_kwh_fuel * chp_fuel(p, c, &v.chps[&c.id]);
        }
        for b in &h.boilers {
            kg += b.co2_kg_per_kwh_fuel / b.efficiency * over(p, |t| v.boilers[&b.id].heat_kw[t]);
        }
    }
    kg
}

/// The case's objective for this plan.
pub fn cost(p: &Problem, plan: &PlanValues) -> f64 {
    let spilled = p.spill_cost_per_kwh.map_or(0.0, |c| c * over(p, |t| plan.spill_kw[t]));
    let grid = p.grid.as_ref().map_or(0.0, |g| grid_cost(p, g, plan));
    let stored: f64 = p.batteries.iter().map(|b| battery_cost(p, b, plan)).sum();
    let cars: f64 = p.evs.iter().map(|e| car_cost(p, e, plan)).sum();
    let engines: f64 = p.gensets.iter().map(|g| genset_cost(p, g, plan)).sum();
    let shed: f64 = p
        .sheddable
        .iter()
        .map(|s| s.shed_cost_per_kwh * over(p, |t| plan.shed_kw[&s.id][t]))
        .sum();
    let carbon = p.co2_price_per_kg * carbon(p, plan);
    let missed: f64 = soft::misses(p, plan).iter().map(|m| m.cost).sum();
    let starts = deferrable_starts(p, plan);
    spilled + grid + stored + cars + engines + shed + carbon + missed + starts + heat_cost(p, plan) - water(p, plan)
}

fn grid_cost(p: &Problem, g: &GridProblem, plan: &PlanValues) -> f64 {
    let energy = over(p, |t| {
        (g.buy[t] + g.self_sufficiency_per_kwh) * plan.import_kw[t] - g.sell[t] * plan.export_kw[t]
    });
    let blocks: f64 = g.block_sets(p.steps).iter().map(|set| blocks_cost(p, set, plan)).sum();
    energy + blocks + demand_cost(p, g, plan)
}

/// What the blocks add to the price of the import that they count.
fn blocks_cost(p: &Problem, set: &crate::model::QuantityProblem, plan: &PlanValues) -> f64 {
    let mut left = over(p, |t| if set.counts[t] { plan.import_kw[t] } else { 0.0 });
    let mut cost = 0.0;
    for b in &set.blocks {
        let used = b.size_kwh.map_or(left, |size| left.min(size));
        cost += b.price * used;
        left -= used;
    }
    cost
}

/// Each charge on its highest windows, as far as they count.
fn demand_cost(p: &Problem, g: &GridProblem, plan: &PlanValues) -> f64 {
    let windows = windows(p, g, plan);
    let cost = |d: &crate::model::DemandProblem| {
        let counted = windows.iter().filter_map(|(t, h, kwh)| Some((d.groups[*t]?, kwh / h)));
        d.charge_per_kw * d.billed(counted)
    };
    g.demands(p.steps).iter().map(cost).sum()
}

fn battery_cost(p: &Problem, b: &crate::model::BatteryProblem, plan: &PlanValues) -> f64 {
    let v = &plan.batteries[&b.id];
    let wear = b.wear_cost_per_kwh * over(p, |t| v.charge_kw[t] + v.discharge_kw[t]);
    let end = v.energy_kwh.last().copied().unwrap_or(b.soc_start_kwh);
    // each level takes from the worth of what lies above it
    let (mut worth, mut value) = (b.end_value_per_kwh * end, b.end_value_per_kwh);
    for level in &b.end_values {
        worth -= (value - level.value_per_kwh) * (end - level.above_kwh).max(0.0);
        value = level.value_per_kwh;
    }
    wear - worth
}

/// Wear of what a car gives back, less the worth of what it takes beyond its need.
fn car_cost(p: &Problem, e: &crate::model::EvProblem, plan: &PlanValues) -> f64 {
    let v = &plan.evs[&e.id];
    let given = v.discharge_kw.as_ref().map_or(0.0, |d| over(p, |t| d[t]));
    let last = v.later.last().map_or(v.extra_kwh.unwrap_or(0.0), |s| s.extra_kwh);
    e.store.map_or(0.0, |s| s.wear_cost_per_kwh) * given - e.extra_value_per_kwh * last
}

/// Times that something comes on.
fn starts(on: &[f64], initial_on: bool) -> f64 {
    let mut before = initial_on;
    let mut count = 0.0;
    for now in on.iter().map(|o| *o > 0.5) {
        count += f64::from(u8::from(now && !before));
        before = now;
    }
    count
}

fn deferrable_starts(p: &Problem, plan: &PlanValues) -> f64 {
    let cost = |d: &crate::model::DeferrableProblem| {
        let on = plan.deferrable[&d.id].on.as_deref();
        d.start_cost * on.map_or(0.0, |on| starts(on, d.initial_on))
    };
    p.deferrable.iter().map(cost).sum()
}

/// Money an hour at this power: each kWh at the price of its segment.
fn fuel_an_hour(g: &crate::model::GensetProblem, kw: f64) -> f64 {
    if g.part_load.is_empty() {
        return g.fuel_cost_per_kwh * kw;
    }
    let mut from = 0.0;
    let mut money = 0.0;
    for s in &g.part_load {
        money += s.fuel_cost_per_kwh * (kw.min(s.up_to_kw) - kw.min(from));
        from = s.up_to_kw;
    }
    money
}

fn genset_cost(p: &Problem, g: &crate::model::GensetProblem, plan: &PlanValues) -> f64 {
    let v = &plan.gensets[&g.id];
    let fuel = over(p, |t| fuel_an_hour(g, v.power_kw[t]));
    if !g.commitment {
        return fuel;
    }
    let running = over(p, |t| f64::from(u8::from(v.on[t] > 0.5)));
    fuel + g.no_load_cost_per_hour * running + g.start_cost * starts(&v.on, g.initial_on)
}

/// kWh of fuel a CHP burns, running empty included.
fn chp_fuel(p: &Problem, c: &crate::model::ChpProblem, v: &crate::model::ElectricPlan) -> f64 {
    let on = |t: usize| v.on.as_ref().map_or(0.0, |on| f64::from(u8::from(on[t] > 0.5)));
    let empty = c.switching.map_or(0.0, |s| s.no_load_fuel_kw);
    over(p, |t| c.fuel_kwh_per_kwh_el * v.electric_kw[t] + empty * on(t))
}

fn heat_cost(p: &Problem, plan: &PlanValues) -> f64 {
    let (Some(h), Some(v)) = (&p.heat, &plan.heat) else {
        return 0.0;
    };
    let chps = h.chps.iter().map(|c| {
        let v = &v.chps[&c.id];
        let begun = match (c.switching, &v.on) {
            (Some(s), Some(on)) => s.start_cost * starts(on, s.initial_on),
            _ => 0.0,
        };
        c.fuel_price_per_kwh * chp_fuel(p, c, v) + begun
    });
    let boilers = h
        .boilers
        .iter()
        .map(|b| b.fuel_price_per_kwh / b.efficiency * over(p, |t| v.boilers[&b.id].heat_kw[t]));
    let tanks = h
        .tanks
        .iter()
        .map(|k| -k.end_value_per_kwh * v.tanks[&k.id].energy_kwh.last().copied().unwrap_or(k.start_kwh));
    let warmth = h
        .buildings
        .iter()
        .map(|b| -b.end_value_per_k * v.buildings[&b.id].indoor_c.last().copied().unwrap_or(b.start_c));
    chps.chain(boilers).chain(tanks).chain(warmth).sum::<f64>()
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
        l.elastic(("co2_cap", 1.0), "above the carbon cap", "site", l.p.steps, excess);
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
        let later: f64 = ev.later.iter().map(|s| s.shortfall_kwh).sum();
        all.insert(format!("ev_shortfall_kwh:{id}"), ev.shortfall_kwh + later);
    }
    for (id, b) in &s.plan.batteries {
        if let Some(end) = b.energy_kwh.last() {
            all.insert(format!("soc_end_kwh:{id}"), *end);
        }
    }
    all
}
