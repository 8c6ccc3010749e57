//! What an answer's duals say beyond prices: what moving a power would cost at least, and which prices hold both ways.
//!
//! For any dual-feasible prices, moving one column by Δ and re-optimising the rest costs at least `reduced cost · Δ`
//! (weak duality); it says nothing where the column is between its bounds. With whole numbers fixed it bounds only plans
//! with the same whole numbers, so it is not used there.

use super::formulation::Model;
use super::program::{Program, RowId, Var};
use super::solver::Answer;
use std::collections::BTreeMap;

/// Distance to a bound that counts as being between bounds, kW.
const INSIDE: f64 = 1e-4;
const CIRCUIT: &str = "constraint_circuit_power";
/// Rows that make each imported kWh dearer than its price.
const WISHES: [&str; 3] = [
    "constraint_carbon_cap",
    "constraint_site_self_sufficiency",
    "constraint_site_renewable",
];
/// A dual of this size or less is solver noise, money.
const BINDS: f64 = 1e-7;

/// Beside the solution: not kept with the plan.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sensitivity {
    /// Cost of one more kW over the step of a battery's charge, its discharge and a car's charge, by part: money per kWh.
    pub charge: BTreeMap<String, Vec<f64>>,
    pub discharge: BTreeMap<String, Vec<f64>>,
    /// By step of the horizon; nothing (0) outside the car's window.
    pub cars: BTreeMap<String, Vec<f64>>,
    /// The price of the bus holds for a little more and a little less use alike.
    pub two_sided: Vec<bool>,
}

/// `None` where the solver had no duals or whole numbers were fixed.
pub fn sensitivity(m: &Model<'_>, answer: &Answer, whole_numbers: bool) -> Option<Sensitivity> {
    let duals = answer.duals.as_ref().filter(|_| !whole_numbers)?;
    let reduced = reduced_costs(&m.program, duals);
    let per_kwh = |vars: &[Var], first: usize| {
        let mut all = vec![0.0; m.dt.len()];
        for (k, v) in vars.iter().enumerate() {
            all[first + k] = reduced[v.0] / m.dt[first + k];
        }
        all
    };
    let batteries = || m.p.batteries.iter().zip(&m.batteries);
    let cars = m.p.evs.iter().zip(&m.evs);
    Some(Sensitivity {
        charge: batteries()
            .map(|(b, v)| (b.id.clone(), per_kwh(&v.charge, 0)))
            .collect(),
        discharge: batteries()
            .map(|(b, v)| (b.id.clone(), per_kwh(&v.discharge, 0)))
            .collect(),
        cars: cars
            .map(|(e, v)| (e.id.clone(), per_kwh(&v.charge, v.arrive)))
            .collect(),
        two_sided: two_sided(m, &answer.x),
    })
}

/// `c − Aᵀy`
fn reduced_costs(program: &Program, duals: &[f64]) -> Vec<f64> {
    let mut reduced = program.cost.clone();
    for (row, y) in program.rows.iter().zip(duals) {
        for (v, k) in &row.terms {
            reduced[v.0] -= k * y;
        }
    }
    reduced
}

/// Something on the bus with a price of its own can give and take a little: it makes the price.
pub fn two_sided(m: &Model<'_>, x: &[f64]) -> Vec<bool> {
    let inside = |v: Var| x[v.0] > m.program.low[v.0] + INSIDE && x[v.0] < m.program.high[v.0] - INSIDE;
    let slack = peak_slack(m, x);
    let import = |t: usize| {
        let simple = m.p.grid.as_ref().is_some_and(|g| !g.is_in_blocks(t)) && m.p.co2_cap_kg.is_none();
        let below_peak = slack.as_ref().is_none_or(|s| s[t] > INSIDE);
        m.grid.as_ref().is_some_and(|g| inside(g.import[t])) && simple && below_peak
    };
    let free = |t: usize| {
        m.grid.as_ref().is_some_and(|g| inside(g.export[t]))
            || m.pv.iter().any(|p| inside(p[t]))
            || inside(m.unserved[t])
    };
    m.steps().map(|t| import(t) || free(t)).collect()
}

/// kW that each step's metering window is below the peak that is paid; `None` without demand charge.
fn peak_slack(m: &Model<'_>, x: &[f64]) -> Option<Vec<f64>> {
    let g = m.p.grid.as_ref()?;
    let vars = m.grid.as_ref().filter(|_| !g.demands(m.p.steps).is_empty())?;
    let left = |row: &RowId| {
        let row = &m.program.rows[row.0];
        row.rhs - row.terms.iter().map(|(v, k)| k * x[v.0]).sum::<f64>()
    };
    // a window without a row cannot reach the peak
    let slack = |t| vars.peak_rows.get(&g.window(t)).map_or(f64::INFINITY, left);
    Some(m.steps().map(slack).collect())
}

/// What wishes of the whole site add to the price of an imported kWh, by step; empty without such wishes.
pub fn wish_adders(m: &Model<'_>, duals: &[f64]) -> Vec<f64> {
    let p = m.p;
    let Some(grid) = m.grid.as_ref() else { return Vec::new() };
    if p.co2_cap_kg.is_none() && p.self_sufficiency.is_none() && p.renewable.is_none() {
        return Vec::new();
    }
    let step_of: BTreeMap<Var, usize> = grid.import.iter().enumerate().map(|(t, v)| (*v, t)).collect();
    let mut all = vec![0.0; m.dt.len()];
    let rows = m.program.rows.iter().zip(duals);
    for (row, dual) in rows.filter(|(row, _)| WISHES.contains(&row.family)) {
        for (v, k) in &row.terms {
            if let Some(t) = step_of.get(v) {
                all[*t] -= dual * k / m.dt[*t];
            }
        }
    }
    all
}

/// What binding circuits add to the price of a kWh at each part behind them; parts whose circuits never bind are left out.
pub fn node_adders(m: &Model<'_>, duals: &[f64]) -> BTreeMap<String, Vec<f64>> {
    let rows = || m.program.rows.iter().zip(duals).filter(|(r, _)| r.family == CIRCUIT);
    // price a unit of each column bears because of the circuits it is in
    let mut borne = vec![0.0; m.program.cost.len()];
    for (row, y) in rows().filter(|(_, y)| y.abs() > BINDS) {
        row.terms.iter().for_each(|(v, k)| borne[v.0] -= k * y);
    }
    let mut all = BTreeMap::new();
    for (part, draws) in &m.draw {
        let adder = |t: usize| {
            let first = draws[t].terms.iter().find(|(_, k)| *k != 0.0)?;
            Some(borne[first.0.0] / first.1 / m.dt[t])
        };
        let series: Vec<f64> = m.steps().map(|t| adder(t).unwrap_or(0.0)).collect();
        if series.iter().any(|v| v.abs() > BINDS) {
            all.insert((*part).to_owned(), series);
        }
    }
    all
}
