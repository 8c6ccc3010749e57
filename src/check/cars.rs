//! Cars: each stay's energy adds up, powers stay inside windows, a car that gives energy back keeps its minimum.

use super::hours;
use super::ledger::{Ledger, TOLERANCE};
use crate::model::{EvPlan, EvProblem};

/// Steps of a stay (arrive, depart), energy needed, and cost of a kWh short of it.
pub fn stays(e: &EvProblem) -> Vec<(usize, usize, f64, f64)> {
    let first = (
        e.arrive_step,
        e.depart_step,
        e.energy_needed_kwh,
        e.shortfall_cost_per_kwh,
    );
    let later = e.later.iter().map(|s| {
        (
            s.arrive_step,
            s.depart_step,
            s.energy_needed_kwh,
            s.shortfall_cost_per_kwh,
        )
    });
    std::iter::once(first).chain(later).collect()
}

/// Shortfall and extra of each stay, as the plan says.
pub fn outcomes(v: &EvPlan) -> Vec<(f64, f64)> {
    let first = (v.shortfall_kwh, v.extra_kwh.unwrap_or(0.0));
    std::iter::once(first)
        .chain(v.later.iter().map(|s| (s.shortfall_kwh, s.extra_kwh)))
        .collect()
}

pub fn evs(l: &mut Ledger<'_>) {
    let p = l.p;
    for ev in &p.evs {
        let plan = &l.s.plan.evs[&ev.id];
        if plan.later.len() != ev.later.len() || plan.discharge_kw.is_some() != ev.store.is_some() {
            l.fault(format!("{}: the plan is of another car", ev.id));
            continue;
        }
        powers(l, ev, plan);
        energy(l, ev, plan);
    }
}

fn powers(l: &mut Ledger<'_>, ev: &EvProblem, plan: &EvPlan) {
    l.positive(&ev.id, "charging", &plan.charge_kw);
    let given = |t: usize| plan.discharge_kw.as_ref().map_or(0.0, |d| d[t]);
    for (t, power) in plan.charge_kw.iter().enumerate() {
        let here = stays(ev).iter().any(|(from, to, ..)| (*from..*to).contains(&t));
        let allowed = |kw: f64| if here { kw } else { 0.0 };
        let most = allowed(ev.charge_max_kw);
        l.excess("above its power or outside its window", &ev.id, t, power - most);
        if ev.charge_min_kw > 0.0 && *power > TOLERANCE {
            l.excess("below its minimum", &ev.id, t, ev.charge_min_kw - power);
        }
        let most = ev.store.map_or(0.0, |s| allowed(s.discharge_max_kw));
        l.excess("gives more than it can", &ev.id, t, given(t) - most);
        l.excess("gives less than nothing", &ev.id, t, -given(t));
        if ev.store.is_some_and(|s| s.exclusive) {
            l.excess("charges and gives at once", &ev.id, t, power.min(given(t)));
        }
    }
}

/// Carried + charged − given + short − beyond = needed, stay by stay.
fn energy(l: &mut Ledger<'_>, ev: &EvProblem, plan: &EvPlan) {
    let p = l.p;
    let given = |t: usize| plan.discharge_kw.as_ref().map_or(0.0, |d| d[t]);
    let mut carried = 0.0;
    for ((from, to, need, _), (short, extra)) in stays(ev).into_iter().zip(outcomes(plan)) {
        l.positive(&ev.id, "shortfall", &[short]);
        l.positive(&ev.id, "extra", &[extra]);
        l.excess(
            "takes more than it can beyond its need",
            &ev.id,
            to,
            extra - ev.extra_max_kwh,
        );
        let mut stored = carried;
        for t in from..to.min(p.steps) {
            let lost = ev.store.map_or(0.0, |s| given(t) / s.discharge_eff);
            stored += hours(p, t) * (ev.charge_eff * plan.charge_kw[t] - lost);
            if let Some(s) = ev.store {
                let state = s.at_arrival_kwh + stored;
                l.excess("below what is kept", &ev.id, t, s.min_kwh.min(s.at_arrival_kwh) - state);
                l.excess(
                    "fuller than full",
                    &ev.id,
                    t,
                    state - s.capacity_kwh.max(s.at_arrival_kwh),
                );
            }
        }
        let balance = stored + short - extra - need;
        l.excess("energy does not add up", &ev.id, to, balance.abs());
        carried = extra;
    }
}
