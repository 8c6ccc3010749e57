//! Inflexible load with unserved power, dumped surplus, and loads that may be shed.

use super::{Model, Slack};

/// `0 ≤ unserved ≤ load`
pub fn variable_load_unserved(m: &mut Model<'_>) {
    let p = m.p;
    m.unserved = m.per_step(|t| p.load_kw[t].max(0.0));
    for t in m.steps() {
        let (u, dt) = (m.unserved[t], m.dt[t]);
        m.program.cost(m.p.unserved_cost_per_kwh * dt, u);
        m.draws("load", t, -1.0 * u + m.p.load_kw[t]);
    }
}

/// Surplus that is dumped: at the case's price, or (elastic, and only where something must be taken) as a broken wish.
pub fn variable_load_spill(m: &mut Model<'_>) {
    let most: f64 = dumpable(m);
    if let Some(price) = m.p.spill_cost_per_kwh {
        m.spill = m.per_step(|_| most);
        for t in m.steps() {
            m.program.cost(price * m.dt[t], m.spill[t]);
            m.draws("spill", t, m.spill[t]);
        }
    } else if let Some(elastic) = m.elastic.filter(|_| must_take(m)) {
        m.spill = m.per_step(|_| most);
        for t in m.steps() {
            let (var, weight, price) = (m.spill[t], m.dt[t], elastic.limit_per_kwh);
            m.draws("spill", t, var);
            m.slack(Slack {
                name: "forced_spill",
                component: "site".into(),
                var,
                beyond: None,
                unit: "kWh",
                weight,
                price,
                money: false,
            });
        }
    }
}

/// An upper bound of what could ever be surplus, kW.
fn dumpable(m: &Model<'_>) -> f64 {
    let p = m.p;
    let highest = |v: &[f64]| v.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
    highest(&p.load_kw)
        + p.pv.iter().map(|pv| highest(&pv.available_kw)).sum::<f64>()
        + p.batteries.iter().map(|b| b.discharge_max_kw).sum::<f64>()
        + p.evs
            .iter()
            .filter_map(|e| e.store)
            .map(|s| s.discharge_max_kw)
            .sum::<f64>()
        + p.gensets.iter().map(|g| g.max_kw).sum::<f64>()
        + p.hydro.iter().map(|h| h.turbine_max_m3s * h.kw_per_m3s).sum::<f64>()
        + p.heat
            .iter()
            .flat_map(|h| &h.chps)
            .map(|c| c.electric_max_kw)
            .sum::<f64>()
        + p.grid
            .iter()
            .map(|g| m.steps().filter_map(|t| g.import_limit(t)).fold(0.0, f64::max))
            .sum::<f64>()
}

/// Something feeds the bus whether it is wanted or not.
fn must_take(m: &Model<'_>) -> bool {
    let p = m.p;
    p.pv.iter().any(|pv| !pv.curtailable)
        || p.load_kw.iter().any(|l| *l < 0.0)
        || p.gensets
            .iter()
            .any(|g| g.commitment && g.fixed_steps > 0 && g.initial_on)
}

/// Elastic: what must run whether there is power or not may stay unserved too.
pub fn widen_unserved(m: &mut Model<'_>) {
    if m.elastic.is_some() {
        for s in 0..m.p.shiftable.len() {
            for t in m.steps() {
                m.program.high[m.unserved[t].0] += m.shiftable[s].running_kw[t];
            }
        }
    }
}

/// `0 ≤ shed ≤ load`
pub fn variable_sheddable_power(m: &mut Model<'_>) {
    for s in &m.p.sheddable {
        let shed = m.per_step(|t| s.load_kw[t]);
        for t in m.steps() {
            m.program.cost(s.shed_cost_per_kwh * m.dt[t], shed[t]);
            m.draws(&s.id, t, -1.0 * shed[t] + s.load_kw[t]);
        }
        m.shed.push(shed);
    }
}
