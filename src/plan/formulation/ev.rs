//! Charge point: window, need with shortfall, minimum current, at once, from surplus only.

use super::Model;
use crate::model::EvProblem;
use crate::plan::program::{Expr, RowId, Var};

#[derive(Debug, Clone)]
pub struct EvVars {
    /// First usable step and one variable a usable step.
    pub arrive: usize,
    pub charge: Vec<Var>,
    /// 1 where charging, where there is a minimum power.
    pub on: Vec<Var>,
    pub shortfall: Var,
    pub need_row: RowId,
}

pub fn ev<'a>(m: &mut Model<'a>, ev: &'a EvProblem) {
    let arrive = ev.arrive_step.min(m.dt.len());
    let depart = ev.depart_step.clamp(arrive, m.dt.len());
    let charge: Vec<Var> = (arrive..depart).map(|_| m.program.var(0.0, ev.charge_max_kw)).collect();
    for (k, x) in charge.iter().enumerate() {
        m.draws(&ev.id, arrive + k, *x);
    }
    let on = constraint_ev_minimum(m, ev, &charge);
    let shortfall = m.program.var(0.0, ev.energy_needed_kwh);
    m.program.cost(ev.shortfall_cost_per_kwh, shortfall);
    let need_row = constraint_ev_energy(m, ev, arrive, &charge, shortfall);
    constraint_ev_at_once(m, ev, arrive, &charge);
    for (k, x) in charge.iter().enumerate().filter(|_| ev.surplus_only) {
        m.surplus_claims[arrive + k] += *x;
    }
    taste_ev(m, ev, arrive, &charge);
    m.evs.push(EvVars {
        arrive,
        charge,
        on,
        shortfall,
        need_row,
    });
}

/// `η·Σ dt·x + shortfall = need`; its dual is what a kWh into the car costs.
fn constraint_ev_energy(m: &mut Model<'_>, ev: &EvProblem, arrive: usize, charge: &[Var], shortfall: Var) -> RowId {
    let delivered = charge.iter().enumerate().fold(Expr::default(), |sum, (k, x)| {
        sum + ev.charge_eff * m.dt[arrive + k] * *x
    });
    m.program
        .equal("constraint_ev_energy", delivered + shortfall, ev.energy_needed_kwh)
}

/// `min·z ≤ x ≤ max·z`
fn constraint_ev_minimum(m: &mut Model<'_>, ev: &EvProblem, charge: &[Var]) -> Vec<Var> {
    if ev.charge_min_kw <= 0.0 {
        return Vec::new();
    }
    let on: Vec<Var> = charge.iter().map(|_| m.program.binary()).collect();
    for (x, z) in charge.iter().zip(&on) {
        m.program.at_most("constraint_ev_minimum", ev.charge_min_kw * *z, *x);
        m.program.at_most("constraint_ev_minimum", *x, ev.charge_max_kw * *z);
    }
    on
}

/// At once: `X_t ≥ what full power would have delivered by t − late_t`, lateness priced a kWh and hour.
fn constraint_ev_at_once(m: &mut Model<'_>, ev: &EvProblem, arrive: usize, charge: &[Var]) {
    if !ev.asap {
        return;
    }
    let mut wanted = 0.0;
    let mut before = Expr::default();
    for (k, x) in charge.iter().enumerate() {
        let dt = m.dt[arrive + k];
        wanted = (wanted + ev.charge_eff * dt * ev.charge_max_kw).min(ev.energy_needed_kwh);
        let so_far = m.program.var(0.0, ev.energy_needed_kwh);
        m.program
            .equal("constraint_ev_at_once", 1.0 * so_far, before + ev.charge_eff * dt * *x);
        let late = m.program.var(0.0, wanted);
        m.prefer(ev.shortfall_cost_per_kwh * dt, late);
        m.program
            .at_most("constraint_ev_at_once", Expr::from(wanted) - so_far, late);
        before = so_far.into();
    }
}

/// Earlier is better, far below money; late is worse by what it costs to find the car gone.
fn taste_ev(m: &mut Model<'_>, ev: &EvProblem, arrive: usize, charge: &[Var]) {
    let early = m.p.taste.as_ref().map_or(0.0, |t| t.early_per_kwh_step);
    for (k, x) in charge.iter().enumerate() {
        let late = ev.late_step.is_some_and(|step| arrive + k >= step);
        let price = early * k as f64 + if late { ev.late_cost_per_kwh } else { 0.0 };
        if price > 0.0 {
            m.prefer(price * m.dt[arrive + k], *x);
        }
    }
}
