//! Building: indoor temperature of one thermal mass, comfort band as commitments.
//!
//! `C·dT/dt = heat + gain − U·(T − outdoor)`, solved exactly over a step in which heat, gain and outdoor temperature are
//! constant (1R1C, e.g. Bacher & Madsen 2011, "Identifying suitable models for the heat dynamics of buildings").

use super::Model;
use super::commitment::{Commitment, Side};
use crate::model::BuildingProblem;
use crate::plan::program::{Expr, Var};

#[derive(Debug, Clone)]
pub struct BuildingVars {
    /// kW of heat given to the rooms.
    pub heat: Vec<Var>,
    /// °C at the end of each step.
    pub indoor: Vec<Var>,
}

/// Over one step: `T' = keep·T + per_kw·(heat + gain) + (1 − keep)·outdoor`.
#[derive(Clone, Copy)]
pub struct Response {
    pub keep: f64,
    pub per_kw: f64,
}

impl Response {
    /// Indoor temperature at the end of step `t`, °C.
    pub fn next(self, b: &BuildingProblem, t: usize, indoor: f64, heat_kw: f64) -> f64 {
        self.keep * indoor + self.per_kw * (heat_kw + gain(b, t)) + (1.0 - self.keep) * outdoor(b, t)
    }
}

pub fn response(b: &BuildingProblem, dt: f64) -> Response {
    let keep = (-dt * b.loss_kw_per_k / b.kwh_per_k).exp();
    let per_kw = if b.loss_kw_per_k > 0.0 {
        (1.0 - keep) / b.loss_kw_per_k
    } else {
        dt / b.kwh_per_k
    };
    Response { keep, per_kw }
}

fn outdoor(b: &BuildingProblem, t: usize) -> f64 {
    b.outdoor_c.at(t).unwrap_or(f64::NAN)
}
fn gain(b: &BuildingProblem, t: usize) -> f64 {
    b.gain_kw.at(t).unwrap_or(f64::NAN)
}

pub fn building(m: &mut Model<'_>, b: &BuildingProblem, supply: &mut [Expr]) -> BuildingVars {
    let heat = m.per_step(|_| b.heat_max_kw);
    for t in m.steps() {
        supply[t] -= heat[t];
    }
    let indoor = constraint_building_temperature(m, b, &heat);
    let v = BuildingVars { heat, indoor };
    constraint_building_comfort(m, b, &v);
    if let Some(last) = v.indoor.last() {
        m.program.cost(-b.end_value_per_k, *last);
    }
    v
}

/// `T_t = keep·T_{t−1} + per_kw·(heat + gain) + (1 − keep)·outdoor`; bounded by no heat at all and all heat always.
fn constraint_building_temperature(m: &mut Model<'_>, b: &BuildingProblem, heat: &[Var]) -> Vec<Var> {
    let (mut low, mut high) = (b.start_c, b.start_c);
    let mut before = Expr::from(b.start_c);
    let mut indoor = Vec::with_capacity(heat.len());
    for t in m.steps() {
        let r = response(b, m.dt[t]);
        let alone = r.per_kw * gain(b, t) + (1.0 - r.keep) * outdoor(b, t);
        (low, high) = (r.keep * low + alone, r.keep * high + alone + r.per_kw * b.heat_max_kw);
        let next = m.program.at(t).var(low - 1e-6, high + 1e-6);
        let warmed = r.keep * &before + r.per_kw * heat[t] + alone;
        m.program.equal("constraint_building_temperature", next, warmed);
        before = next.into();
        indoor.push(next);
    }
    indoor
}

/// `comfort_min − colder ≤ T ≤ comfort_max + warmer`, priced a kelvin and hour.
fn constraint_building_comfort(m: &mut Model<'_>, b: &BuildingProblem, v: &BuildingVars) {
    for t in m.steps() {
        let dt = m.dt[t];
        let c = |name| Commitment {
            family: "constraint_building_comfort",
            name,
            component: &b.id,
            weight: dt,
            unit: "K h",
        };
        let band = [&b.comfort_min_c, &b.comfort_max_c].map(|s| s.at(t).unwrap_or(f64::NAN));
        let (cold, warm) = (
            Side::Money(b.cold_cost_per_k_hour * dt),
            Side::Money(b.warm_cost_per_k_hour * dt),
        );
        m.commit(c("too_cold"), &v.indoor[t].into(), band[0], Side::Free, cold);
        m.commit(c("too_warm"), &v.indoor[t].into(), band[1], warm, Side::Free);
    }
}
