//! Wishes whose miss costs money of the case: by how much each is missed, and what that costs.

use super::cars::{outcomes, stays};
use super::{hours, loads, windows};
use crate::model::*;

/// A missed wish: amount in its own unit (kWh, kWh h, K h, kW) and money.
pub struct Miss<'a> {
    pub name: &'static str,
    pub component: &'a str,
    pub amount: f64,
    pub cost: f64,
}

fn miss<'a>(name: &'static str, component: &'a str, amount: f64, price: f64) -> Miss<'a> {
    // what costs nothing is no wish
    Miss {
        name,
        component,
        amount: if price == 0.0 { 0.0 } else { amount },
        cost: price * amount,
    }
}

/// Σ over steps of hours × f(t).
fn over(p: &Problem, f: impl Fn(usize) -> f64) -> f64 {
    (0..p.steps).map(|t| hours(p, t) * f(t)).sum()
}

/// Every wish of the problem, missed or not.
pub fn misses<'a>(p: &'a Problem, plan: &'a PlanValues) -> Vec<Miss<'a>> {
    let unserved = over(p, |t| plan.unserved_kw[t]);
    let mut all = vec![miss("unserved_load", "load", unserved, p.unserved_cost_per_kwh)];
    p.batteries.iter().for_each(|b| battery(p, b, plan, &mut all));
    p.evs.iter().for_each(|e| car(p, e, plan, &mut all));
    if let Some(g) = &p.grid {
        capacity(p, g, plan, &mut all);
    }
    moved(p, plan, &mut all);
    site(p, plan, &mut all);
    heat(p, plan, &mut all);
    all
}

fn battery<'a>(p: &'a Problem, b: &'a BatteryProblem, plan: &PlanValues, all: &mut Vec<Miss<'a>>) {
    let e = &plan.batteries[&b.id].energy_kwh;
    if let Some(r) = b.reserve.filter(|r| r.kwh > b.soc_min_kwh) {
        let below = over(p, |t| (r.kwh - e[t]).max(0.0));
        all.push(miss("reserve", &b.id, below, r.cost_per_kwh_hour));
    }
    for d in &b.dwell {
        let above = over(p, |t| (e[t] - d.above_kwh).max(0.0));
        all.push(miss("soc_dwell", &b.id, above, d.cost_per_kwh_hour));
    }
    for g in b.goals.iter().filter(|g| g.step < p.steps) {
        let off = e[g.step] - g.kwh;
        all.push(miss("soc_goal", &b.id, (-off).max(0.0), g.missing_cost_per_kwh));
        all.push(miss("soc_goal", &b.id, off.max(0.0), g.excess_cost_per_kwh));
    }
}

fn car<'a>(p: &'a Problem, ev: &'a EvProblem, plan: &PlanValues, all: &mut Vec<Miss<'a>>) {
    let v = &plan.evs[&ev.id];
    for ((.., cost), (short, _)) in stays(ev).into_iter().zip(outcomes(v)) {
        all.push(miss("ev_shortfall", &ev.id, short, cost));
    }
    if let Some(demand) = &ev.demand_kw {
        let here = |t: usize| stays(ev).iter().any(|(from, to, ..)| *from <= t && t < *to);
        let wanted = |t: usize| demand.at(t).unwrap_or(f64::NAN).min(ev.charge_max_kw);
        let below = over(p, |t| {
            if here(t) {
                (wanted(t) - v.charge_kw[t]).max(0.0)
            } else {
                0.0
            }
        });
        all.push(miss("ev_demand", &ev.id, below, ev.demand_missed_cost_per_kwh));
    }
}

fn capacity<'a>(p: &'a Problem, g: &'a GridProblem, plan: &PlanValues, all: &mut Vec<Miss<'a>>) {
    let Some(c) = g.capacity else { return };
    let windows = windows(p, g, plan);
    // the highest overrun of each billing month
    let mut months = std::collections::BTreeMap::new();
    for (t, h, kwh) in &windows {
        let is_next = c.next_month_step.is_some_and(|next| *t >= next);
        let highest = months.entry(is_next).or_insert(0.0_f64);
        *highest = highest.max(kwh / h - c.free_kw(*t));
    }
    let highest = months.into_values().sum();
    let energy = windows
        .iter()
        .map(|(_, h, kwh)| (kwh - h * c.subscribed_kw).max(0.0))
        .sum();
    all.push(miss("capacity_overrun", "grid", highest, c.overrun_per_kw));
    all.push(miss("capacity_energy", "grid", energy, c.overrun_per_kwh));
}

/// Run-once and deferrable loads that do not (fully) run.
fn moved<'a>(p: &'a Problem, plan: &PlanValues, all: &mut Vec<Miss<'a>>) {
    for s in p.shiftable.iter().filter(|s| s.running_hours <= 0.0) {
        let whole: f64 = loads::phases(s).iter().map(|(kw, hours)| kw * hours).sum();
        let left = whole - over(p, |t| plan.shiftable_kw[&s.id][t]);
        all.push(miss("missed_run", &s.id, left, s.missed_cost_per_kwh));
    }
    for d in &p.deferrable {
        let left = d.energy_kwh - over(p, |t| plan.deferrable[&d.id].electric_kw[t]);
        all.push(miss("missed_energy", &d.id, left, d.missed_cost_per_kwh));
    }
}

fn site<'a>(p: &'a Problem, plan: &PlanValues, all: &mut Vec<Miss<'a>>) {
    if let Some(line) = &p.lifeline {
        let can_give = |t: usize| -> f64 {
            let left = |b: &BatteryProblem| b.discharge_eff * (plan.batteries[&b.id].energy_kwh[t] - b.soc_min_kwh);
            p.batteries.iter().map(left).sum()
        };
        let missing = over(p, |t| (line.need_kwh[t] - can_give(t)).max(0.0));
        all.push(miss("lifeline", "site", missing, line.cost_per_kwh_hour));
    }
    let shared = |share: f64, kwh: f64| (kwh - (1.0 - share) * consumption(p, plan)).max(0.0);
    if let Some(wish) = p.self_sufficiency {
        let missing = shared(wish.share, over(p, |t| plan.import_kw[t]));
        all.push(miss("self_sufficiency", "site", missing, wish.missing_cost_per_kwh));
    }
    if let Some(wish) = p.renewable {
        let missing = shared(wish.share, burnt(p, plan));
        all.push(miss("renewable", "site", missing, wish.missing_cost_per_kwh));
    }
}

/// kWh that loads, cars and heat pumps take over the horizon.
fn consumption(p: &Problem, plan: &PlanValues) -> f64 {
    let fixed = over(p, |t| p.load_kw[t] - plan.unserved_kw[t]);
    let shed: f64 = p
        .sheddable
        .iter()
        .map(|s| over(p, |t| s.load_kw[t] - plan.shed_kw[&s.id][t]))
        .sum();
    let cars = plan
        .evs
        .values()
        .map(|e| over(p, |t| e.charge_kw[t] - e.discharge_kw.as_ref().map_or(0.0, |d| d[t])));
    let run = plan.shiftable_kw.values().map(|kw| over(p, |t| kw[t]));
    let deferred = plan.deferrable.values().map(|d| over(p, |t| d.electric_kw[t]));
    let pumps = plan
        .heat
        .iter()
        .flat_map(|h| h.heat_pumps.values())
        .map(|h| over(p, |t| h.electric_kw[t]));
    fixed + shed + cars.chain(run).chain(deferred).chain(pumps).sum::<f64>()
}

/// kWh of import that is not renewable, of generators and of CHPs.
fn burnt(p: &Problem, plan: &PlanValues) -> f64 {
    let green = |t: usize| {
        p.grid
            .as_ref()
            .map_or(0.0, |g| g.renewable_share.at(t).unwrap_or(f64::NAN))
    };
    let imported = over(p, |t| (1.0 - green(t)) * plan.import_kw[t]);
    let gensets: f64 = plan.gensets.values().map(|g| over(p, |t| g.power_kw[t])).sum();
    let chps = plan
        .heat
        .iter()
        .flat_map(|h| h.chps.values())
        .map(|c| over(p, |t| c.electric_kw[t]));
    imported + gensets + chps.sum::<f64>()
}

fn heat<'a>(p: &'a Problem, plan: &PlanValues, all: &mut Vec<Miss<'a>>) {
    let (Some(h), Some(v)) = (&p.heat, &plan.heat) else {
        return;
    };
    let unserved = over(p, |t| v.unserved_kw[t]);
    all.push(miss("heat_unserved", "heat", unserved, h.unserved_cost_per_kwh));
    for b in &h.buildings {
        let indoor = &v.buildings[&b.id].indoor_c;
        let at = |s: &PerStep, t: usize| s.at(t).unwrap_or(f64::NAN);
        let cold = over(p, |t| (at(&b.comfort_min_c, t) - indoor[t]).max(0.0));
        let warm = over(p, |t| (indoor[t] - at(&b.comfort_max_c, t)).max(0.0));
        all.push(miss("too_cold", &b.id, cold, b.cold_cost_per_k_hour));
        all.push(miss("too_warm", &b.id, warm, b.warm_cost_per_k_hour));
    }
}
