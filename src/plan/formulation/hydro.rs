//! Hydro with reservoir; volumes in 1000 m³ inside the program.

use super::Model;
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

/// `turbine + spill ≥ ecological flow` (− missing)
fn constraint_hydro_release(m: &mut Model<'_>, h: &HydroProblem, turbine: &[Var], spill: &[Var]) {
    for t in m.steps().filter(|_| h.min_release_m3s > 0.0) {
        let dt = m.dt[t];
        let missing = m.relief("hydro_release", &h.id, "1000 m3", PER_HOUR * dt, h.min_release_m3s);
        m.program.at_most(
            "constraint_hydro_release",
            h.min_release_m3s,
            1.0 * turbine[t] + spill[t] + missing,
        );
    }
}

/// `V_t = V_{t−1} + 3600·dt·(inflow − turbine − spill)`, inside the reservoir, `V_{T−1} ≥ end`.
fn constraint_hydro_volume(m: &mut Model<'_>, h: &HydroProblem, turbine: &[Var], spill: &[Var]) {
    let (low, high) = (h.volume_min_m3 / 1e3, h.volume_max_m3 / 1e3);
    let start = h.volume_start_m3 / 1e3;
    let inflow: f64 = m.steps().map(|t| PER_HOUR * m.dt[t] * h.inflow_m3s[t]).sum();
    let mut before = Expr::from(start);
    for t in m.steps() {
        let k = PER_HOUR * m.dt[t];
        let volume = if m.elastic.is_some() {
            let (bottom, top) = (low.min(start).min(0.0), high.max(start) + inflow.abs());
            let v = m.program.var(bottom, top);
            let missing = m.relief("hydro_volume", &h.id, "1000 m3", 1.0, low - bottom);
            let excess = m.relief("hydro_volume", &h.id, "1000 m3", 1.0, top - high);
            m.program
                .at_most("constraint_hydro_volume", Expr::from(low) - missing, v);
            m.program.at_most("constraint_hydro_volume", 1.0 * v - excess, high);
            v
        } else {
            m.program.var(low, high)
        };
        let flow = Expr::from(k * h.inflow_m3s[t]) - k * turbine[t] - k * spill[t];
        m.program.equal("constraint_hydro_volume", 1.0 * volume - before, flow);
        before = volume.into();
    }
    let end = h.volume_end_min_m3 / 1e3;
    let missing = m.relief("hydro_volume_end", &h.id, "1000 m3", 1.0, end.max(0.0) + low.abs());
    m.program.cost(-h.water_value_per_m3 * 1e3, before.clone());
    m.program.at_most("constraint_hydro_volume", end, before + missing);
}
