//! Battery: efficiencies, losses, wear, band, end, reserve, bars against the grid.

use super::{Model, Pair};
use crate::model::BatteryProblem;
use crate::plan::program::{Expr, RowId, Var};

#[derive(Debug, Clone)]
pub struct BatteryVars {
    pub charge: Vec<Var>,
    pub discharge: Vec<Var>,
    /// At the end of each step, kWh.
    pub energy: Vec<Var>,
    pub energy_rows: Vec<RowId>,
}

pub fn battery<'a>(m: &mut Model<'a>, b: &'a BatteryProblem) {
    let mut v = variable_battery(m, b);
    constraint_battery_energy(m, b, &mut v);
    constraint_battery_band(m, b, &v);
    constraint_battery_end(m, b, &v);
    constraint_battery_reserve(m, b, &v);
    battery_bars(m, b, &v);
    battery_pairs(m, b, &v);
    objective_battery(m, b, &v);
    m.batteries.push(v);
}

/// The measured or lossy state may leave the band by itself; only then the band has slacks. Standby losses alone do not
/// need them where the grid can always make up for them.
fn may_fall_below(m: &Model<'_>, b: &BatteryProblem) -> bool {
    let drain = b.standby_kw * m.dt.iter().sum::<f64>();
    let refill = b.standby_kw / b.charge_eff;
    let import = |t: usize| m.p.grid.as_ref().and_then(|g| g.import_max_kw.at(t)).unwrap_or(0.0);
    let supplied = !b.no_grid_charge && b.charge_max_kw >= refill && m.steps().all(|t| import(t) >= refill);
    b.soc_start_kwh < b.soc_min_kwh
        || (b.loss_per_hour > 0.0 && b.soc_min_kwh > 0.0)
        || (b.soc_start_kwh - drain < b.soc_min_kwh && !supplied)
}

fn variable_battery<'a>(m: &mut Model<'a>, b: &'a BatteryProblem) -> BatteryVars {
    let elastic = m.elastic.is_some();
    let drain = b.standby_kw * m.dt.iter().sum::<f64>();
    let low = if elastic && may_fall_below(m, b) {
        b.soc_start_kwh.min(0.0).min(b.soc_min_kwh) - drain
    } else {
        b.soc_min_kwh
    };
    let high = if elastic {
        b.soc_max_kwh.max(b.soc_start_kwh)
    } else {
        b.soc_max_kwh
    };
    let v = BatteryVars {
        charge: m.per_step(|_| b.charge_max_kw),
        discharge: m.per_step(|_| b.discharge_max_kw),
        energy: m.steps().map(|_| m.program.var(low, high)).collect(),
        energy_rows: Vec::new(),
    };
    for t in m.steps() {
        m.draws(&b.id, t, 1.0 * v.charge[t] - v.discharge[t]);
    }
    v
}

/// `e_t = (1 − loss·dt)·e_{t−1} + dt·(η_c·c − d/η_d − standby)`; its dual is the worth of a stored kWh.
fn constraint_battery_energy(m: &mut Model<'_>, b: &BatteryProblem, v: &mut BatteryVars) {
    for t in m.steps() {
        let dt = m.dt[t];
        let keep = 1.0 - b.loss_per_hour * dt;
        let before: Expr = match t {
            0 => (keep * b.soc_start_kwh).into(),
            _ => keep * v.energy[t - 1],
        };
        let gain =
            dt * b.charge_eff * v.charge[t] - dt / b.discharge_eff * v.discharge[t] - Expr::from(dt * b.standby_kw);
        let row = m
            .program
            .equal("constraint_battery_energy", 1.0 * v.energy[t] - before - gain, 0.0);
        v.energy_rows.push(row);
    }
}

/// `soc_min − under ≤ e ≤ soc_max + over`, slacks priced a kWh and step; no row forbids recovery.
fn constraint_battery_band(m: &mut Model<'_>, b: &BatteryProblem, v: &BatteryVars) {
    if m.elastic.is_none() {
        return;
    }
    for t in m.steps() {
        let e = v.energy[t];
        if may_fall_below(m, b) {
            let reach = b.soc_min_kwh - m.program.low[e.0];
            let under = m.relief("soc_below_band", &b.id, "kWh_stored", 1.0, reach);
            m.program
                .at_most("constraint_battery_band", Expr::from(b.soc_min_kwh) - under, e);
        }
        if b.soc_start_kwh > b.soc_max_kwh {
            let over = m.relief(
                "soc_above_band",
                &b.id,
                "kWh_stored",
                1.0,
                b.soc_start_kwh - b.soc_max_kwh,
            );
            m.program
                .at_most("constraint_battery_band", 1.0 * e - over, b.soc_max_kwh);
        }
    }
}

/// `e_{T−1} = end` or `≥ end_min` (± slack)
fn constraint_battery_end(m: &mut Model<'_>, b: &BatteryProblem, v: &BatteryVars) {
    let Some(last) = v.energy.last().copied() else { return };
    let reach = b.soc_max_kwh.max(b.soc_start_kwh);
    if let Some(end) = b.soc_end_kwh {
        let missing = m.relief("soc_end", &b.id, "kWh_stored", 1.0, reach + end.abs());
        let excess = m.relief("soc_end", &b.id, "kWh_stored", 1.0, reach + end.abs());
        m.program
            .equal("constraint_battery_end", 1.0 * last + missing - excess, end);
    }
    if let Some(end) = b.soc_end_min_kwh {
        let missing = m.relief("soc_end_min", &b.id, "kWh_stored", 1.0, reach + end.abs());
        m.program.at_most("constraint_battery_end", end, 1.0 * last + missing);
    }
}

/// Soft floor: `e ≥ reserve − below`, `below` priced a kWh and hour as money of the case.
fn constraint_battery_reserve(m: &mut Model<'_>, b: &BatteryProblem, v: &BatteryVars) {
    let Some(reserve) = b.reserve.filter(|r| r.kwh > b.soc_min_kwh) else {
        return;
    };
    for t in m.steps() {
        let reach = reserve.kwh - m.program.low[v.energy[t].0];
        let below = m.program.var(0.0, reach);
        m.program.cost(reserve.cost_per_kwh_hour * m.dt[t], below);
        m.program.at_most(
            "constraint_battery_reserve",
            Expr::from(reserve.kwh) - below,
            v.energy[t],
        );
    }
}

fn battery_bars(m: &mut Model<'_>, b: &BatteryProblem, v: &BatteryVars) {
    for t in m.steps() {
        if b.no_grid_charge {
            m.surplus_claims[t] += v.charge[t];
        }
        if b.no_grid_discharge {
            m.local_supply[t] += v.discharge[t];
        }
    }
}

/// Never charge and discharge at once; a binary from the start only where the price may be low enough to burn energy:
/// a cycle of 1 kWh in burns 1 − η_c·η_d and wears 1 + η_c·η_d.
fn battery_pairs(m: &mut Model<'_>, b: &BatteryProblem, v: &BatteryVars) {
    let round_trip = b.charge_eff * b.discharge_eff;
    let threshold = -b.wear_cost_per_kwh * (1.0 + round_trip) / (1.0 - round_trip).max(1e-9);
    for t in m.steps().filter(|_| b.exclusive) {
        m.pairs.push(Pair {
            a: v.charge[t],
            b: v.discharge[t],
            a_max: b.charge_max_kw,
            b_max: b.discharge_max_kw,
            a_weight: round_trip,
            needed: lowest_price(m, t) < threshold - 1e-12,
        });
    }
}

/// Lowest price electricity can have on the bus in step `t`: what a surplus kWh may cost.
fn lowest_price(m: &Model<'_>, t: usize) -> f64 {
    let spill = m.p.spill_cost_per_kwh.map_or(f64::INFINITY, |c| -c);
    let grid = m.p.grid.as_ref().map_or(f64::INFINITY, |g| g.buy[t].min(g.sell[t]));
    spill.min(grid)
}

fn objective_battery(m: &mut Model<'_>, b: &BatteryProblem, v: &BatteryVars) {
    let taste = m.p.taste.as_ref().map(|t| t.wear_per_kwh);
    for t in m.steps() {
        let dt = m.dt[t];
        for power in [v.charge[t], v.discharge[t]] {
            m.program.cost(b.wear_cost_per_kwh * dt, power);
            if let Some(wear) = taste {
                m.prefer(wear * dt, power);
            }
        }
    }
    if let Some(last) = v.energy.last() {
        m.program.cost(-b.end_value_per_kwh, *last);
    }
}
