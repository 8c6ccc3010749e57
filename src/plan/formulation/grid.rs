//! Connection point: import, export, limits, outages, demand charge, subscribed power, blocks, direction.

use super::commitment::{Commitment, Side};
use super::{Model, Pair, Slack};
use crate::model::{BlockProblem, GridProblem};
use crate::plan::program::{Expr, RowId, Var};
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub struct GridVars {
    pub import: Vec<Var>,
    pub export: Vec<Var>,
    /// By metering window, in order; none where the window cannot reach the peak already paid.
    pub peak_rows: Vec<Option<RowId>>,
}

pub fn grid(m: &mut Model<'_>, g: &GridProblem) {
    let import = m.per_step(|t| g.import_limit(t).unwrap_or(f64::NAN));
    let export = m.per_step(|t| g.export_limit(t).unwrap_or(f64::NAN));
    let mut v = GridVars {
        import,
        export,
        peak_rows: Vec::new(),
    };
    objective_grid_energy(m, g, &v);
    grid_pairs(m, g, &v);
    constraint_grid_peak(m, g, &mut v);
    constraint_grid_capacity(m, g, &v);
    constraint_grid_blocks(m, g, &v);
    for t in m.steps() {
        m.draws("grid", t, 1.0 * v.export[t] - v.import[t]);
    }
    m.grid = Some(v);
}

/// Money per imported kWh in step `t` without blocks: price, carbon, self-sufficiency.
fn import_price(m: &Model<'_>, g: &GridProblem, t: usize) -> f64 {
    g.buy[t] + m.p.co2_price_per_kg * g.co2_kg_per_kwh.at(t).unwrap_or(f64::NAN) + g.self_sufficiency_per_kwh
}

fn objective_grid_energy(m: &mut Model<'_>, g: &GridProblem, v: &GridVars) {
    for t in m.steps() {
        let dt = m.dt[t];
        let price = import_price(m, g, t);
        m.program.cost(price * dt, v.import[t]);
        m.program.cost(-g.sell[t] * dt, v.export[t]);
        m.carbon += g.co2_kg_per_kwh.at(t).unwrap_or(f64::NAN) * dt * v.import[t];
    }
}

/// Mean import of each metering window (what it has already imported included), kW, and its hours.
fn windows(m: &Model<'_>, g: &GridProblem, v: &GridVars) -> Vec<(Expr, f64)> {
    let mut windows: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for t in m.steps() {
        let window = g.demand_window.as_ref().and_then(|w| w.get(t).copied()).unwrap_or(t);
        windows.entry(window).or_default().push(t);
    }
    let mean = |steps: Vec<usize>| {
        let first = g.first_window.filter(|_| steps[0] == 0);
        let (imported, past) = first.map_or((0.0, 0.0), |w| (w.imported_kwh, w.past_hours));
        let hours: f64 = past + steps.iter().map(|t| m.dt[*t]).sum::<f64>();
        let energy = steps.iter().fold(Expr::from(imported / hours), |sum, t| {
            sum + m.dt[*t] / hours * v.import[*t]
        });
        (energy, hours)
    };
    windows.into_values().map(mean).collect()
}

/// Commitment of all windows to one power, the highest deviation above it is paid once.
fn commit_highest(
    m: &mut Model<'_>,
    c: Commitment<'_>,
    windows: &[(Expr, f64)],
    kw: f64,
    over: Var,
) -> Vec<Option<RowId>> {
    let rows = |(mean, _): &(Expr, f64)| m.commit(c, mean, kw, Side::Shared(over.into()), Side::Free);
    windows.iter().map(rows).collect()
}

/// Demand charge: `mean of each window ≤ peak so far + over`, all of `peak so far + over` is paid.
fn constraint_grid_peak(m: &mut Model<'_>, g: &GridProblem, v: &mut GridVars) {
    if g.demand_charge_per_kw <= 0.0 {
        return;
    }
    let windows = windows(m, g, v);
    let highest = windows.iter().map(|(mean, _)| m.range(mean).1).fold(0.0, f64::max);
    let over = m.program.at(0).var(0.0, highest - g.peak_so_far_kw);
    m.program.cost(g.demand_charge_per_kw, 1.0 * over + g.peak_so_far_kw);
    let c = Commitment {
        family: "constraint_grid_peak",
        name: "peak",
        component: "grid",
        weight: 1.0,
        unit: "kW",
    };
    v.peak_rows = commit_highest(m, c, &windows, g.peak_so_far_kw, over);
}

/// Capacity tariff: `mean of each window ≤ subscribed + over`; the highest `over` is priced a kW, each a kWh.
fn constraint_grid_capacity(m: &mut Model<'_>, g: &GridProblem, v: &GridVars) {
    let Some(capacity) = g.capacity else { return };
    let windows = windows(m, g, v);
    let highest = windows.iter().map(|(mean, _)| m.range(mean).1).fold(0.0, f64::max);
    let c = |weight, unit, name| Commitment {
        family: "constraint_grid_capacity",
        name,
        component: "grid",
        weight,
        unit,
    };
    if capacity.overrun_per_kw > 0.0 && highest > capacity.subscribed_kw {
        let over = m.program.at(0).var(0.0, highest - capacity.subscribed_kw);
        m.slack(Slack {
            name: "capacity_overrun",
            component: "grid".into(),
            var: over,
            beyond: None,
            unit: "kW",
            weight: 1.0,
            price: capacity.overrun_per_kw,
            money: true,
        });
        commit_highest(
            m,
            c(1.0, "kW", "capacity_overrun"),
            &windows,
            capacity.subscribed_kw,
            over,
        );
    }
    for (mean, hours) in windows.iter().filter(|_| capacity.overrun_per_kwh > 0.0) {
        let price = Side::Money(capacity.overrun_per_kwh * hours);
        m.commit(
            c(*hours, "kWh", "capacity_energy"),
            mean,
            capacity.subscribed_kw,
            price,
            Side::Free,
        );
    }
}

/// `Σ dt·import = Σ blocks`, filled in order: dearer blocks fill last by themselves, falling prices need whole numbers.
fn constraint_grid_blocks(m: &mut Model<'_>, g: &GridProblem, v: &GridVars) {
    if g.blocks.is_empty() {
        return;
    }
    let energy = m.steps().fold(Expr::default(), |sum, t| sum + m.dt[t] * v.import[t]);
    let (_, most) = m.range(&energy);
    let size = |b: &BlockProblem| b.size_kwh.unwrap_or(most).min(most);
    let used: Vec<Var> = g.blocks.iter().map(|b| m.program.at(0).var(0.0, size(b))).collect();
    for (used, block) in used.iter().zip(&g.blocks) {
        m.program.cost(block.price, *used);
    }
    let prices: Vec<f64> = g.blocks.iter().map(|b| b.price).collect();
    m.fill_in_order("constraint_grid_blocks", &used, &prices);
    let filled = used.iter().fold(Expr::default(), |sum, b| sum + *b);
    m.program.equal("constraint_grid_blocks", energy, filled);
}

/// Never import and export at once; a binary from the start only where selling pays more than buying costs.
fn grid_pairs(m: &mut Model<'_>, g: &GridProblem, v: &GridVars) {
    for t in m.steps().filter(|_| g.exclusive) {
        // without the other direction, neither can exceed what the site can take or give
        let (give, take) = m.draw.values().fold((0.0, 0.0), |(give, take), d| {
            let (low, high) = m.range(&d[t]);
            (give - low, take + high)
        });
        let high = |v: Var| m.program.high[v.0];
        m.pairs.push(Pair {
            a: v.import[t],
            b: v.export[t],
            a_max: high(v.import[t]).min(f64::max(take, 0.0)),
            b_max: high(v.export[t]).min(f64::max(give, 0.0)),
            a_weight: 1.0,
            needed: g.sell[t] > import_price(m, g, t) + 1e-12,
        });
    }
}
