//! Wishes of the whole site over the horizon: carbon cap, lifeline, self-sufficiency, renewable share. All commitments.

use super::Model;
use super::commitment::{Commitment, Side};
use crate::model::ShareWish;
use crate::plan::program::Expr;

fn of_site(family: &'static str, name: &'static str, weight: f64, unit: &'static str) -> Commitment<'static> {
    Commitment {
        family,
        name,
        component: "site",
        weight,
        unit,
    }
}

/// `Σ kg ≤ cap` (+ excess)
pub fn constraint_carbon_cap(m: &mut Model<'_>) {
    if let Some(cap) = m.p.co2_cap_kg {
        let c = of_site("constraint_carbon_cap", "co2_cap", 1.0, "kg");
        let carbon = m.carbon.clone();
        m.commit(c, &carbon, cap, Side::Limit, Side::Free);
    }
}

/// What all batteries can deliver `≥ need − missing`, by step, `missing` priced a kWh and hour.
pub fn constraint_lifeline_energy(m: &mut Model<'_>) {
    let p = m.p;
    let Some(line) = &p.lifeline else { return };
    for t in m.steps() {
        let stored = p.batteries.iter().zip(&m.batteries);
        let stored = stored.fold(Expr::default(), |sum, (b, v)| {
            sum + b.discharge_eff * v.energy[t] - b.discharge_eff * b.soc_min_kwh
        });
        let c = of_site("constraint_lifeline_energy", "lifeline", m.dt[t], "kWh h");
        let below = Side::Money(line.cost_per_kwh_hour * m.dt[t]);
        m.commit(c, &stored, line.need_kwh[t], Side::Free, below);
    }
}

/// `Σ dt·import ≤ (1 − share)·consumption + missing`
pub fn constraint_site_self_sufficiency(m: &mut Model<'_>) {
    let Some(wish) = m.p.self_sufficiency else { return };
    let imported = (0..m.dt.len()).fold(Expr::default(), |sum, t| sum + import(m, t, 1.0));
    let c = of_site("constraint_site_self_sufficiency", "self_sufficiency", 1.0, "kWh");
    commit_share(m, c, wish, imported);
}

/// `Σ dt·(import that is not renewable + generators + CHPs) ≤ (1 − share)·consumption + missing`
pub fn constraint_site_renewable(m: &mut Model<'_>) {
    let p = m.p;
    let Some(wish) = p.renewable else { return };
    let fossil = |t: usize| 1.0 - p.grid.as_ref().and_then(|g| g.renewable_share.at(t)).unwrap_or(0.0);
    let mut burnt = (0..m.dt.len()).fold(Expr::default(), |sum, t| sum + import(m, t, fossil(t)));
    let chps = p.heat.iter().flat_map(|h| &h.chps).map(|c| c.id.as_str());
    for id in p.gensets.iter().map(|g| g.id.as_str()).chain(chps) {
        burnt -= energy(m, id);
    }
    let c = of_site("constraint_site_renewable", "renewable", 1.0, "kWh");
    commit_share(m, c, wish, burnt);
}

fn commit_share(m: &mut Model<'_>, c: Commitment<'_>, wish: ShareWish, energy: Expr) {
    let allowed = (1.0 - wish.share) * &consumption(m);
    m.commit(
        c,
        &(energy - allowed),
        0.0,
        Side::Money(wish.missing_cost_per_kwh),
        Side::Free,
    );
}

/// kWh imported in step `t`, times `factor`.
fn import(m: &Model<'_>, t: usize, factor: f64) -> Expr {
    let import = m.grid.as_ref().map(|g| g.import[t]);
    import.map_or(Expr::default(), |v| factor * m.dt[t] * v)
}

/// kWh that a component draws over the horizon.
fn energy(m: &Model<'_>, id: &str) -> Expr {
    let draws = m.draw.get(id).into_iter().flatten().zip(&m.dt);
    draws.fold(Expr::default(), |sum, (draw, dt)| sum + *dt * draw)
}

/// kWh consumed: loads served, cars (less what they give back), heat pumps. Losses of batteries are not consumption.
fn consumption(m: &Model<'_>) -> Expr {
    let p = m.p;
    let ids = p.sheddable.iter().map(|s| s.id.as_str());
    let ids = ids.chain(p.evs.iter().map(|e| e.id.as_str()));
    let ids = ids.chain(p.shiftable.iter().map(|s| s.id.as_str()));
    let ids = ids.chain(p.deferrable.iter().map(|s| s.id.as_str()));
    let ids = ids.chain(p.heat.iter().flat_map(|h| h.heat_pumps.iter().map(|h| h.id.as_str())));
    ids.chain(["load"]).fold(Expr::default(), |sum, id| sum + energy(m, id))
}
