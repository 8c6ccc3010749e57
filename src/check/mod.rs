//! Schedule against Problem: balance, limits, dynamics, money recomputed. Shares no code with `plan`.
//!
//! Reads only the powers of the plan; states, peaks and money follow from them here. A limit that the solution itself
//! names as broken, with its size, is no fault; anything else beyond 1e-6 (kW, kWh) is, and so is a wrong size.

mod cars;
mod heat;
mod ledger;
mod loads;
mod money;
mod power;
mod soft;
mod storage;
mod switching;

use crate::model::{CheckReport, GridProblem, PlanValues, Problem, Solution};
use ledger::Ledger;

pub use money::{carbon, cost, peak, totals};

/// Re-checks and re-costs a solution independently.
pub fn check(problem: &Problem, solution: &Solution) -> CheckReport {
    let mut ledger = Ledger::new(problem, solution);
    ledger.lengths();
    if ledger.broken() {
        return ledger.report(f64::NAN);
    }
    power::grid(&mut ledger);
    power::sources(&mut ledger);
    cars::evs(&mut ledger);
    power::gensets(&mut ledger);
    loads::run_once(&mut ledger);
    loads::deferrable(&mut ledger);
    storage::batteries(&mut ledger);
    storage::hydro(&mut ledger);
    heat::heat(&mut ledger);
    power::balance(&mut ledger);
    power::circuits(&mut ledger);
    power::told(&mut ledger);
    if ledger.broken() {
        // what follows reads the plan as the problem means it
        return ledger.report(f64::NAN);
    }
    let cost = money::cost(problem, &solution.plan);
    money::compare(&mut ledger, cost);
    for miss in soft::misses(problem, &solution.plan) {
        ledger.missed(miss.name, miss.component, miss.amount);
    }
    ledger.wishes();
    ledger.report(cost)
}

/// Length of step `t`, h.
fn hours(p: &Problem, t: usize) -> f64 {
    p.step_hours.at(t).unwrap_or(f64::NAN)
}

/// First step, hours and imported energy of each demand window, in order.
fn windows(p: &Problem, g: &GridProblem, plan: &PlanValues) -> Vec<(usize, f64, f64)> {
    let mut all: std::collections::BTreeMap<usize, (usize, f64, f64)> = std::collections::BTreeMap::new();
    for t in 0..p.steps {
        let key = g.demand_window.as_ref().map_or(t, |w| w[t]);
        let entry = all.entry(key).or_insert((t, 0.0, 0.0));
        if t == 0
            && let Some(first) = g.first_window
        {
            *entry = (t, first.past_hours, first.imported_kwh);
        }
        entry.1 += hours(p, t);
        entry.2 += hours(p, t) * plan.import_kw[t];
    }
    all.into_values().collect()
}
