//! Hydro with reservoir; volumes in 1000 m³ inside the program.

use super::Model;
use super::commitment::{Commitment, Side};
use crate::model::HydroProblem;
use crate::plan::program::{Expr, Var};

#[derive(Debug, Clone)]
pub struct HydroVars {
    pub turbine: Vec<Var>,
    pub spill: Vec<Var>,
}

/// m³/s over an hour, in 1000 m³.
const PER_HOUR: f64 = 3.6;

pub fn hydro<'a>(m: &mut Model<'a>, h: &'a HydroProblem) {
    let turbine = m.per_step(|_| h.turbine_max_m3s);
    let dt = m.dt.clone();
    let spill = m.per_step(|t| spill_max(h, dt[t]));
    for t in m.steps() {
        m.draws(&h.id, t, -h.kw_per_m3s * turbine[t]);
    }
    constraint_hydro_release(m, h, &turbine, &spill);
    constraint_hydro_volume(m, h, &turbine, &spill);
    m.hydro.push(HydroVars { turbine, spill });
}

/// Never more than the reservoir and the inflow could give in one step.
fn spill_max(h: &HydroProblem, dt: f64) -> f64 {
    let inflow = h.inflow_m3s.iter().fold(0.0, |a: f64, b| a.max(*b));
    inflow + h.volume_max_m3.max(h.volume_start_m3) / (1e3 * PER_HOUR * dt) + h.min_release_m3s
}

fn of_hydro<'h>(h: &'h HydroProblem, family: &'static str, name: &'static str, weight: f64) -> Commitment<'h> {
    Commitment {
        family,
        name,
        component: &h.id,
        weight,
        unit: "1000 m3",
    }
}

/// `turbine + spill ≥ ecological flow` (− missing)
fn constraint_hydro_release(m: &mut Model<'_>, h: &HydroProblem, turbine: &[Var], spill: &[Var]) {
    for t in m.steps() {
        let c = of_hydro(h, "constraint_hydro_release", "hydro_release", PER_HOUR * m.dt[t]);
        let release = 1.0 * turbine[t] + spill[t];
        m.commit(c, &release, h.min_release_m3s, Side::Free, Side::Limit);
    }
}

/// `V_t = V_{t−1} + 3600·dt·(inflow − turbine − spill)`, inside the reservoir, `V_{T−1} ≥ end`.
fn constraint_hydro_volume(m: &mut Model<'_>, h: &HydroProblem, turbine: &[Var], spill: &[Var]) {
    let (low, high) = (h.volume_min_m3 / 1e3, h.volume_max_m3 / 1e3);
    let start = h.volume_start_m3 / 1e3;
    let inflow: f64 = m.steps().map(|t| PER_HOUR * m.dt[t] * h.inflow_m3s[t]).sum();
    let (bottom, top) = match m.elastic {
        Some(_) => (low.min(start).min(0.0), high.max(start) + inflow.abs()),
        None => (low, high),
    };
    let c = |name| of_hydro(h, "constraint_hydro_volume", name, 1.0);
    let mut before = Expr::from(start);
    for t in m.steps() {
        let k = PER_HOUR * m.dt[t];
        let volume = m.program.at(t).var(bottom, top);
        let band = Expr::from(volume);
        m.commit(c("hydro_volume"), &band, low, Side::Free, Side::Limit);
        m.commit(c("hydro_volume"), &band, high, Side::Limit, Side::Free);
        let flow = Expr::from(k * h.inflow_m3s[t]) - k * turbine[t] - k * spill[t];
        m.program.equal("constraint_hydro_volume", 1.0 * volume - before, flow);
        before = volume.into();
    }
    m.program.cost(-h.water_value_per_m3 * 1e3, before.clone());
    let end = h.volume_end_min_m3 / 1e3;
    m.commit(c("hydro_volume_end"), &before, end, Side::Free, Side::Limit);
}
