//! Battery: efficiencies, losses, wear, band, ramp, end, reserve, goals, dwell, bars against the grid.

use super::commitment::{Commitment, Side};
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
    constraint_battery_ramp(m, b, &v);
    constraint_battery_reserve(m, b, &v);
    constraint_battery_goal(m, b, &v);
    constraint_battery_dwell(m, b, &v);
    constraint_battery_end_value(m, b, &v);
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
    let import = |t: usize| m.p.grid.as_ref().and_then(|g| g.import_limit(t)).unwrap_or(0.0);
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
        energy: m.steps().map(|t| m.program.at(t).var(low, high)).collect(),
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

fn of_battery<'b>(b: &'b BatteryProblem, family: &'static str, name: &'static str) -> Commitment<'b> {
    Commitment {
        family,
        name,
        component: &b.id,
        weight: 1.0,
        unit: "kWh",
    }
}

/// `soc_min − under ≤ e ≤ soc_max + over`, deviations priced a kWh and step; no row forbids recovery.
fn constraint_battery_band(m: &mut Model<'_>, b: &BatteryProblem, v: &BatteryVars) {
    let c = |name| of_battery(b, "constraint_battery_band", name);
    for e in v.energy.iter().map(|e| Expr::from(*e)) {
        m.commit(c("soc_below_band"), &e, b.soc_min_kwh, Side::Free, Side::Band);
        m.commit(c("soc_above_band"), &e, b.soc_max_kwh, Side::Band, Side::Free);
    }
}

/// `e_{T−1} = end` or `≥ end_min` (± deviation)
fn constraint_battery_end(m: &mut Model<'_>, b: &BatteryProblem, v: &BatteryVars) {
    let Some(last) = v.energy.last().map(|e| Expr::from(*e)) else {
        return;
    };
    let c = |name| of_battery(b, "constraint_battery_end", name);
    if let Some(end) = b.soc_end_kwh {
        m.commit(c("soc_end"), &last, end, Side::Band, Side::Band);
    }
    if let Some(end) = b.soc_end_min_kwh {
        m.commit(c("soc_end_min"), &last, end, Side::Free, Side::Band);
    }
}

/// `|net_t − net_{t−1}| ≤ ramp` (± excess), `net = c − d`.
fn constraint_battery_ramp(m: &mut Model<'_>, b: &BatteryProblem, v: &BatteryVars) {
    let Some(ramp) = b.ramp_kw else { return };
    let c = Commitment {
        unit: "kW",
        ..of_battery(b, "constraint_battery_ramp", "battery_ramp")
    };
    let net = |t: usize| 1.0 * v.charge[t] - v.discharge[t];
    for t in m.steps() {
        let before: Expr = match (t, b.power_start_kw) {
            (0, None) => continue,
            (0, Some(kw)) => kw.into(),
            _ => net(t - 1),
        };
        let change = net(t) - before;
        m.commit(c, &change, ramp, Side::Limit, Side::Free);
        m.commit(c, &change, -ramp, Side::Free, Side::Limit);
    }
}

/// Commitment to a state for the length of step `t`, priced a kWh and hour.
fn commit_while(m: &mut Model<'_>, c: Commitment<'_>, e: &[Var], kwh: f64, prices: (f64, f64)) {
    for (t, e) in e.iter().enumerate() {
        let weight = m.dt[t];
        let c = Commitment {
            weight,
            unit: "kWh h",
            ..c
        };
        let (above, below) = (Side::Money(prices.0 * weight), Side::Money(prices.1 * weight));
        m.commit(c, &(*e).into(), kwh, above, below);
    }
}

/// Soft floor: `e ≥ reserve − below`, as money of the case.
fn constraint_battery_reserve(m: &mut Model<'_>, b: &BatteryProblem, v: &BatteryVars) {
    if let Some(r) = b.reserve.filter(|r| r.kwh > b.soc_min_kwh) {
        let c = of_battery(b, "constraint_battery_reserve", "reserve");
        commit_while(m, c, &v.energy, r.kwh, (0.0, r.cost_per_kwh_hour));
    }
}

/// Resting above a level ages: `e ≤ level + above`.
fn constraint_battery_dwell(m: &mut Model<'_>, b: &BatteryProblem, v: &BatteryVars) {
    for dwell in &b.dwell {
        let c = of_battery(b, "constraint_battery_dwell", "soc_dwell");
        commit_while(m, c, &v.energy, dwell.above_kwh, (dwell.cost_per_kwh_hour, 0.0));
    }
}

/// Wished state at the end of a step: `goal − missing ≤ e ≤ goal + excess`.
fn constraint_battery_goal(m: &mut Model<'_>, b: &BatteryProblem, v: &BatteryVars) {
    let c = of_battery(b, "constraint_battery_goal", "soc_goal");
    for goal in &b.goals {
        let Some(e) = v.energy.get(goal.step).map(|e| Expr::from(*e)) else {
            continue;
        };
        let (above, below) = (goal.excess_cost_per_kwh, goal.missing_cost_per_kwh);
        m.commit(c, &e, goal.kwh, Side::Money(above), Side::Money(below));
    }
}

/// Above a level the last kWh are worth less: `e_{T−1} ≤ level + above`, `above` priced at the difference.
fn constraint_battery_end_value(m: &mut Model<'_>, b: &BatteryProblem, v: &BatteryVars) {
    let Some(last) = v.energy.last().copied() else { return };
    let mut worth = b.end_value_per_kwh;
    for end in &b.end_values {
        let over = of_battery(b, "constraint_battery_end_value", "end_value");
        m.commit(
            over,
            &last.into(),
            end.above_kwh,
            Side::Worth(worth - end.value_per_kwh),
            Side::Free,
        );
        worth = end.value_per_kwh;
    }
}

fn battery_bars(m: &mut Model<'_>, b: &BatteryProblem, v: &BatteryVars) {
    // a person may tell it to draw from the grid, and to feed it
    for t in m.steps().filter(|t| m.p.told_kw(&b.id, *t).is_none()) {
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
            needed: super::lowest_price(m, t) < threshold - 1e-12,
        });
    }
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
