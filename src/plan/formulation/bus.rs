//! What ties components together on the bus: balance, circuits, surplus.

use super::Model;
use super::commitment::{Commitment, Side};
use crate::plan::program::Expr;

/// `Σ draw = 0`; its dual is the price of electricity.
pub fn constraint_bus_balance(m: &mut Model<'_>) {
    for t in m.steps() {
        let mut supply = Expr::default();
        m.draw.values().for_each(|draw| supply.add(-1.0, &draw[t]));
        let row = m.program.equal("constraint_bus_balance", supply, 0.0);
        m.bus_rows.push(row);
    }
}

/// `−limit ≤ Σ members ≤ limit` (± excess), where it can bind at all.
pub fn constraint_circuit_power(m: &mut Model<'_>) {
    for c in &m.p.circuits {
        for t in m.steps() {
            let mut total = Expr::default();
            for (i, id) in c.members.iter().enumerate() {
                if let Some(draw) = m.draw.get(id.as_str()) {
                    total += c.weights.get(i).copied().unwrap_or(1.0) * &draw[t];
                }
            }
            let limit = Commitment {
                family: "constraint_circuit_power",
                name: "circuit_limit",
                component: &c.id,
                weight: m.dt[t],
                unit: "kWh",
            };
            m.commit(limit, &total, c.limit_kw, Side::Limit, Side::Free);
            m.commit(limit, &total, -c.limit_kw, Side::Free, Side::Limit);
        }
    }
}

/// Surplus of PV over inflexible load in step `t`, kW.
fn surplus(m: &Model<'_>, t: usize) -> f64 {
    available_pv(m, t) - inflexible(m, t)
}

fn available_pv(m: &Model<'_>, t: usize) -> f64 {
    m.p.pv.iter().map(|pv| pv.available_kw[t]).sum()
}

fn inflexible(m: &Model<'_>, t: usize) -> f64 {
    m.p.load_kw[t].max(0.0) + m.p.sheddable.iter().map(|s| s.load_kw[t]).sum::<f64>()
}

/// What is barred from grid energy shares the PV surplus.
pub fn constraint_surplus_claims(m: &mut Model<'_>) {
    for t in m.steps() {
        let claims = m.surplus_claims[t].clone();
        if !claims.terms.is_empty() {
            let room = surplus(m, t).max(0.0);
            m.program.at_most("constraint_surplus_claims", claims, room);
        }
    }
}

/// What is barred from feeding the grid shares the local consumption that PV leaves.
pub fn constraint_local_supply(m: &mut Model<'_>) {
    for t in m.steps() {
        let supply = m.local_supply[t].clone();
        if !supply.terms.is_empty() {
            let flexible = flexible_consumption(m, t);
            let rest = (-surplus(m, t)).max(0.0);
            m.program.at_most("constraint_local_supply", supply, flexible + rest);
        }
    }
}

/// kW drawn by charge points, heat pumps, run-once and deferrable loads.
fn flexible_consumption(m: &Model<'_>, t: usize) -> Expr {
    let pumps = m.p.heat.iter().flat_map(|h| h.heat_pumps.iter().map(|h| h.id.as_str()));
    let ids = m.p.shiftable.iter().map(|s| s.id.as_str());
    let ids = ids.chain(m.p.deferrable.iter().map(|s| s.id.as_str())).chain(pumps);
    let other = ids
        .filter_map(|id| m.draw.get(id))
        .fold(Expr::default(), |sum, d| sum + d[t].clone());
    // what cars take, also those that give at other times
    let cars = m.evs.iter().filter_map(|v| v.charge.get(t.checked_sub(v.arrive)?));
    cars.fold(other, |sum, x| sum + *x)
}
