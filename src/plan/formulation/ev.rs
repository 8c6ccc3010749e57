//! Charge point: stays with need and shortfall, minimum current, demanded power, at once, surplus only, discharge.

use super::commitment::{Commitment, Side};
use super::{Minimum, Model, Pair};
use crate::model::{CarStore, EvProblem};
use crate::plan::program::{Expr, RowId, Var};

#[derive(Debug, Clone)]
pub struct EvVars {
    /// First usable step; one variable a step from there to the last departure (0 while away).
    pub arrive: usize,
    pub charge: Vec<Var>,
    /// Empty where the car cannot discharge; else as `charge`.
    pub discharge: Vec<Var>,
    /// 1 where charging, where there is a minimum power.
    pub on: Vec<Var>,
    pub stays: Vec<StayVars>,
}

#[derive(Debug, Clone)]
pub struct StayVars {
    pub shortfall: Var,
    /// Beyond the need at departure, where the car can take any.
    pub extra: Option<Var>,
    pub need_row: RowId,
}

/// One stay: steps (counted from the start of the horizon), need and its price.
struct Stay {
    steps: std::ops::Range<usize>,
    need: f64,
    shortfall_cost: f64,
}

fn stays(m: &Model<'_>, ev: &EvProblem) -> Vec<Stay> {
    let stay = |arrive: usize, depart: usize, need: f64, shortfall_cost: f64| {
        let arrive = arrive.min(m.dt.len());
        Stay {
            steps: arrive..depart.clamp(arrive, m.dt.len()),
            need,
            shortfall_cost,
        }
    };
    let first = stay(
        ev.arrive_step,
        ev.depart_step,
        ev.energy_needed_kwh,
        ev.shortfall_cost_per_kwh,
    );
    let later = ev.later.iter().map(|s| {
        stay(
            s.arrive_step,
            s.depart_step,
            s.energy_needed_kwh,
            s.shortfall_cost_per_kwh,
        )
    });
    std::iter::once(first).chain(later).collect()
}

pub fn ev<'a>(m: &mut Model<'a>, ev: &'a EvProblem) {
    let stays = stays(m, ev);
    let mut v = variable_ev_power(m, ev, &stays);
    v.on = constraint_ev_minimum(m, ev, &v.charge);
    let mut carried = Expr::default();
    for stay in &stays {
        let vars = constraint_ev_energy(m, ev, &v, stay, &carried);
        if let Some(store) = &ev.store {
            constraint_ev_store(m, store, ev, &v, stay, &carried);
        }
        carried = vars.extra.map_or(Expr::default(), Expr::from);
        v.stays.push(vars);
    }
    m.program.cost(-ev.extra_value_per_kwh, carried);
    constraint_ev_at_once(m, ev, &v, &stays[0]);
    constraint_ev_demand(m, ev, &v, &stays);
    ev_bars(m, ev, &v);
    taste_ev(m, ev, v.arrive, &v.charge);
    m.evs.push(v);
}

/// Charging and discharging while the car is there.
fn variable_ev_power<'a>(m: &mut Model<'a>, ev: &'a EvProblem, stays: &[Stay]) -> EvVars {
    let arrive = stays[0].steps.start;
    let end = stays.iter().map(|s| s.steps.end).fold(arrive, usize::max);
    let here = |t: usize| stays.iter().any(|s| s.steps.contains(&t));
    let mut power = |kw: f64| -> Vec<Var> {
        let high = |t: usize| if here(t) { kw } else { 0.0 };
        (arrive..end).map(|t| m.program.at(t).var(0.0, high(t))).collect()
    };
    let charge = power(ev.charge_max_kw);
    // who wants it at once does not give any back
    let discharge = match ev.store.filter(|_| !ev.asap) {
        Some(store) => power(store.discharge_max_kw),
        None => Vec::new(),
    };
    for (k, x) in charge.iter().enumerate() {
        m.draws(&ev.id, arrive + k, *x);
    }
    for (k, d) in discharge.iter().enumerate() {
        m.draws(&ev.id, arrive + k, -1.0 * *d);
    }
    EvVars {
        arrive,
        charge,
        discharge,
        on: Vec::new(),
        stays: Vec::new(),
    }
}

/// kWh into the car in step `t`: `dt·(η_c·x − d/η_d)`.
fn gain(m: &Model<'_>, ev: &EvProblem, v: &EvVars, t: usize) -> Expr {
    let k = t - v.arrive;
    let charged = ev.charge_eff * m.dt[t] * v.charge[k];
    match (v.discharge.get(k), &ev.store) {
        (Some(d), Some(store)) => charged - m.dt[t] / store.discharge_eff * *d,
        _ => charged,
    }
}

/// `carried + Σ gain + shortfall − extra = need`, for each stay; its dual is what a kWh into the car costs.
fn constraint_ev_energy(m: &mut Model<'_>, ev: &EvProblem, v: &EvVars, stay: &Stay, carried: &Expr) -> StayVars {
    let mut level = carried.clone();
    for t in stay.steps.clone() {
        level += gain(m, ev, v, t);
    }
    let shortfall = m.program.at(0).var(0.0, stay.need);
    m.program.cost(stay.shortfall_cost, shortfall);
    level += shortfall;
    let extra = (ev.extra_max_kwh > 0.0).then(|| m.program.var(0.0, ev.extra_max_kwh));
    if let Some(extra) = extra {
        level -= extra;
    }
    StayVars {
        shortfall,
        extra,
        need_row: m.program.equal("constraint_ev_energy", level, stay.need),
    }
}

/// A car that gives energy back: `e_t = e_{t−1} + gain`, never below its minimum (or what it came with), never above full.
fn constraint_ev_store(m: &mut Model<'_>, store: &CarStore, ev: &EvProblem, v: &EvVars, stay: &Stay, carried: &Expr) {
    let start = store.at_arrival_kwh;
    let (low, high) = (store.min_kwh.min(start), store.capacity_kwh.max(start));
    let mut before = carried.clone() + start;
    for t in stay.steps.clone() {
        let e = m.program.at(t).var(low, high);
        let after = before + gain(m, ev, v, t);
        m.program.equal("constraint_ev_store", e, after);
        before = e.into();
    }
    let round_trip = ev.charge_eff * store.discharge_eff;
    let threshold = -store.wear_cost_per_kwh * round_trip / (1.0 - round_trip).max(1e-9);
    for t in stay.steps.clone().filter(|_| !v.discharge.is_empty()) {
        let (x, d) = (v.charge[t - v.arrive], v.discharge[t - v.arrive]);
        m.program.cost(store.wear_cost_per_kwh * m.dt[t], d);
        if !store.exclusive {
            continue;
        }
        m.pairs.push(Pair {
            a: x,
            b: d,
            a_max: ev.charge_max_kw,
            b_max: store.discharge_max_kw,
            a_weight: round_trip,
            needed: super::lowest_price(m, t) < threshold - 1e-12,
        });
    }
}

/// `min·z ≤ x ≤ max·z`
fn constraint_ev_minimum(m: &mut Model<'_>, ev: &EvProblem, charge: &[Var]) -> Vec<Var> {
    if ev.charge_min_kw <= 0.0 {
        return Vec::new();
    }
    let on = charge.iter().map(|x| m.program.at_step_of(&(*x).into()).binary());
    let on: Vec<Var> = on.collect();
    for (x, z) in charge.iter().zip(&on) {
        let family = "constraint_ev_minimum";
        let rows = [
            m.program.at_most(family, ev.charge_min_kw * *z, *x),
            m.program.at_most(family, *x, ev.charge_max_kw * *z),
        ];
        m.minima.push(Minimum {
            v: *x,
            z: *z,
            least: ev.charge_min_kw,
            rows,
        });
    }
    on
}

/// At once: `X_t ≥ what full power would have delivered by t − late_t`, lateness priced a kWh and hour.
fn constraint_ev_at_once(m: &mut Model<'_>, ev: &EvProblem, v: &EvVars, stay: &Stay) {
    if !ev.asap {
        return;
    }
    let mut wanted = 0.0;
    let mut before = Expr::default();
    for t in stay.steps.clone() {
        let dt = m.dt[t];
        // at once begins when what a person told is over
        if m.p.told_kw(&ev.id, t).is_none() {
            wanted = (wanted + ev.charge_eff * dt * ev.charge_max_kw).min(stay.need);
        }
        let so_far = m.program.at(t).var(0.0, stay.need + ev.extra_max_kwh);
        let after = before + gain(m, ev, v, t);
        m.program.equal("constraint_ev_at_once", so_far, after);
        let late = m.program.var(0.0, wanted);
        m.prefer(ev.shortfall_cost_per_kwh * dt, late);
        m.program
            .at_most("constraint_ev_at_once", Expr::from(wanted) - so_far, late);
        before = so_far.into();
    }
}

/// What the car demands while it is there: `x ≥ demand − missed`, `missed` priced a kWh.
fn constraint_ev_demand(m: &mut Model<'_>, ev: &EvProblem, v: &EvVars, stays: &[Stay]) {
    let Some(demand) = &ev.demand_kw else { return };
    for t in stays.iter().flat_map(|s| s.steps.clone()) {
        let dt = m.dt[t];
        let c = Commitment {
            family: "constraint_ev_demand",
            name: "ev_demand",
            component: &ev.id,
            weight: dt,
            unit: "kWh",
        };
        let wanted = demand.at(t).unwrap_or(f64::NAN).min(ev.charge_max_kw);
        let below = Side::Money(ev.demand_missed_cost_per_kwh * dt);
        m.commit(c, &v.charge[t - v.arrive].into(), wanted, Side::Free, below);
    }
}

/// From surplus only, and (V2H) into the house only.
fn ev_bars(m: &mut Model<'_>, ev: &EvProblem, v: &EvVars) {
    for (k, x) in v.charge.iter().enumerate().filter(|_| ev.surplus_only) {
        if m.p.told_kw(&ev.id, v.arrive + k).is_none() {
            m.surplus_claims[v.arrive + k] += *x;
        }
    }
    let home_only = ev.store.is_some_and(|s| s.no_grid_discharge);
    for (k, d) in v.discharge.iter().enumerate().filter(|_| home_only) {
        m.local_supply[v.arrive + k] += *d;
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
