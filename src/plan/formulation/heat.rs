//! Heat: balance, CHP (perhaps on or off), boilers, heat pumps, tanks; buildings stand in their own file.

use super::building::{BuildingVars, building};
use super::commitment::{Commitment, Side};
use super::switching::{Switched, rows_minimum_times, rows_switching, variable_switching};
use super::{Model, Slack};
use crate::model::{ChpProblem, ChpSwitching, HeatProblem, TankProblem};
use crate::plan::program::{Expr, RowId, Var};

#[derive(Debug, Clone)]
pub struct HeatVars {
    pub chps: Vec<ChpVars>,
    pub boilers: Vec<Vec<Var>>,
    pub heat_pumps: Vec<Vec<Var>>,
    pub tanks: Vec<TankVars>,
    pub buildings: Vec<BuildingVars>,
    pub unserved: Vec<Var>,
    /// Empty where heat may not be dumped.
    pub dump: Vec<Var>,
}

#[derive(Debug, Clone)]
pub struct ChpVars {
    pub electric: Vec<Var>,
    /// Where on and off are decisions of their own.
    pub switched: Option<Switched>,
}

#[derive(Debug, Clone)]
pub struct TankVars {
    /// kW into the tank, negative out of it: both ways are free of loss, so one column says both.
    pub net: Vec<Var>,
    pub energy: Vec<Var>,
    pub energy_rows: Vec<RowId>,
}

pub fn heat<'a>(m: &mut Model<'a>, h: &'a HeatProblem) {
    // heat into the house by step, kW
    let mut supply = vec![Expr::default(); m.dt.len()];
    let v = HeatVars {
        chps: variable_chp_power(m, h, &mut supply),
        boilers: variable_boiler_heat(m, h, &mut supply),
        heat_pumps: variable_heat_pump_power(m, h, &mut supply),
        tanks: h.tanks.iter().map(|k| tank(m, k, &mut supply)).collect(),
        buildings: h.buildings.iter().map(|b| building(m, b, &mut supply)).collect(),
        unserved: variable_heat_unserved(m, h, &mut supply),
        dump: variable_heat_dump(m, h, &mut supply),
    };
    constraint_heat_balance(m, h, supply);
    m.heat = Some(v);
}

fn variable_chp_power<'a>(m: &mut Model<'a>, h: &'a HeatProblem, supply: &mut [Expr]) -> Vec<ChpVars> {
    let mut all = Vec::new();
    for c in &h.chps {
        let electric = m.per_step(|_| c.electric_max_kw);
        for t in m.steps() {
            burn(m, c, t, c.fuel_kwh_per_kwh_el * electric[t]);
            m.draws(&c.id, t, -1.0 * electric[t]);
            supply[t] += c.heat_per_electric * electric[t];
        }
        let switched = c.switching.map(|s| chp_switching(m, c, s, &electric));
        all.push(ChpVars { electric, switched });
    }
    all
}

/// Money and carbon of `fuel` kW in step `t`.
fn burn(m: &mut Model<'_>, c: &ChpProblem, t: usize, fuel: Expr) {
    let price = c.fuel_price_per_kwh + m.p.co2_price_per_kg * c.co2_kg_per_kwh_fuel;
    m.carbon += c.co2_kg_per_kwh_fuel * m.dt[t] * &fuel;
    m.program.cost(price * m.dt[t], fuel);
}

fn chp_switching(m: &mut Model<'_>, c: &ChpProblem, s: ChpSwitching, electric: &[Var]) -> Switched {
    let on: Vec<Var> = m.steps().map(|t| m.program.at(t).binary()).collect();
    constraint_chp_power(m, c, s.electric_min_kw, electric, &on);
    let switched = variable_switching(m, on, s.initial_on, (s.min_up_steps, s.min_down_steps));
    constraint_chp_switching(m, &switched);
    constraint_chp_minimum_times(m, &switched);
    for t in m.steps() {
        burn(m, c, t, s.no_load_fuel_kw * switched.on[t]);
        m.program.cost(s.start_cost, switched.start[t]);
    }
    switched
}

/// `min·on ≤ p ≤ max·on`
fn constraint_chp_power(m: &mut Model<'_>, c: &ChpProblem, min: f64, electric: &[Var], on: &[Var]) {
    for (x, z) in electric.iter().zip(on) {
        m.program.at_most("constraint_chp_power", min * *z, *x);
        m.program.at_most("constraint_chp_power", *x, c.electric_max_kw * *z);
    }
}

/// `on_t − on_{t−1} = start − stop`
fn constraint_chp_switching(m: &mut Model<'_>, s: &Switched) {
    rows_switching(m, "constraint_chp_switching", s);
}

/// Sum of starts in the last `min_up` steps ≤ on; sum of stops in the last `min_down` ≤ 1 − on.
fn constraint_chp_minimum_times(m: &mut Model<'_>, s: &Switched) {
    rows_minimum_times(m, "constraint_chp_minimum_times", s);
}

fn variable_boiler_heat(m: &mut Model<'_>, h: &HeatProblem, supply: &mut [Expr]) -> Vec<Vec<Var>> {
    let mut all = Vec::new();
    for b in &h.boilers {
        let x = m.per_step(|_| b.heat_max_kw);
        let price = (b.fuel_price_per_kwh + m.p.co2_price_per_kg * b.co2_kg_per_kwh_fuel) / b.efficiency;
        for t in m.steps() {
            let dt = m.dt[t];
            m.program.cost(price * dt, x[t]);
            m.carbon += b.co2_kg_per_kwh_fuel / b.efficiency * dt * x[t];
            supply[t] += x[t];
        }
        all.push(x);
    }
    all
}

fn variable_heat_pump_power<'a>(m: &mut Model<'a>, h: &'a HeatProblem, supply: &mut [Expr]) -> Vec<Vec<Var>> {
    let mut all = Vec::new();
    for p in &h.heat_pumps {
        let x = m.per_step(|_| p.electric_max_kw);
        for t in m.steps() {
            m.draws(&p.id, t, x[t]);
            supply[t] += p.cop.at(t).unwrap_or(f64::NAN) * x[t];
        }
        all.push(x);
    }
    all
}

fn tank(m: &mut Model<'_>, k: &TankProblem, supply: &mut [Expr]) -> TankVars {
    let top = if m.elastic.is_some() {
        k.capacity_kwh.max(k.start_kwh)
    } else {
        k.capacity_kwh
    };
    let mut v = TankVars {
        net: m
            .steps()
            .map(|t| m.program.at(t).var(-k.discharge_max_kw, k.charge_max_kw))
            .collect(),
        energy: m.per_step(|_| top),
        energy_rows: Vec::new(),
    };
    for t in m.steps() {
        supply[t] -= v.net[t];
    }
    constraint_tank_energy(m, k, &mut v);
    constraint_tank_band(m, k, &v);
    if let Some(last) = v.energy.last() {
        m.program.cost(-k.end_value_per_kwh, *last);
    }
    v
}

/// `E_t = (1 − loss·dt)·E_{t−1} + dt·net`
fn constraint_tank_energy(m: &mut Model<'_>, k: &TankProblem, v: &mut TankVars) {
    for t in m.steps() {
        let dt = m.dt[t];
        let keep = 1.0 - k.loss_per_hour * dt;
        let before: Expr = match t {
            0 => (keep * k.start_kwh).into(),
            _ => keep * v.energy[t - 1],
        };
        let gain = dt * v.net[t];
        let row = m
            .program
            .equal("constraint_tank_energy", 1.0 * v.energy[t] - before - gain, 0.0);
        v.energy_rows.push(row);
    }
}

/// Measured hotter than its top (elastic), and the end.
fn constraint_tank_band(m: &mut Model<'_>, k: &TankProblem, v: &TankVars) {
    let c = |name| Commitment {
        family: "constraint_tank_band",
        name,
        component: &k.id,
        weight: 1.0,
        unit: "kWh",
    };
    for e in v.energy.iter().map(|e| Expr::from(*e)) {
        m.commit(c("tank_above_band"), &e, k.capacity_kwh, Side::Band, Side::Free);
    }
    if let (Some(end), Some(last)) = (k.end_min_kwh, v.energy.last().copied()) {
        m.commit(c("tank_end"), &last.into(), end, Side::Free, Side::Band);
    }
}

fn variable_heat_unserved(m: &mut Model<'_>, h: &HeatProblem, supply: &mut [Expr]) -> Vec<Var> {
    let filling: f64 = h.tanks.iter().map(|k| k.charge_max_kw).sum();
    let u = m.per_step(|t| h.load_kw[t].max(0.0) + filling);
    for t in m.steps() {
        m.program.cost(h.unserved_cost_per_kwh * m.dt[t], u[t]);
        supply[t] += u[t];
    }
    u
}

fn variable_heat_dump(m: &mut Model<'_>, h: &HeatProblem, supply: &mut [Expr]) -> Vec<Var> {
    let reach: Vec<f64> = m.steps().map(|t| m.range(&supply[t]).1 + h.load_kw[t].abs()).collect();
    if h.dump_allowed {
        let dump = m.per_step(|t| reach[t]);
        (0..dump.len()).for_each(|t| supply[t] -= dump[t]);
        return dump;
    }
    let Some(elastic) = m.elastic.filter(|_| h.load_kw.iter().any(|l| *l < 0.0)) else {
        return Vec::new();
    };
    let dump = m.per_step(|t| reach[t]);
    for (t, var) in dump.iter().copied().enumerate() {
        m.slack(Slack {
            name: "heat_dump",
            component: "heat".into(),
            var,
            beyond: None,
            unit: "kWh",
            weight: m.dt[t],
            price: elastic.limit_per_kwh,
            money: false,
        });
        supply[t] -= var;
    }
    dump
}

/// `unserved + Σ sources + tanks − dump = heat load`
fn constraint_heat_balance(m: &mut Model<'_>, h: &HeatProblem, supply: Vec<Expr>) {
    for (t, supply) in supply.into_iter().enumerate() {
        m.program.equal("constraint_heat_balance", supply, h.load_kw[t]);
    }
}
