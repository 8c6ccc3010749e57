//! Connection point: import, export, limits, demand charge, blocks, direction.

use super::{Model, Pair};
use crate::model::GridProblem;
use crate::plan::program::{Expr, RowId, Var};
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub struct GridVars {
    pub import: Vec<Var>,
    pub export: Vec<Var>,
    pub peak: Option<Var>,
    pub peak_rows: Vec<RowId>,
}

pub fn grid(m: &mut Model<'_>, g: &GridProblem) {
    let import = m.per_step(|t| g.import_max_kw.at(t).unwrap_or(f64::NAN));
    let export = m.per_step(|t| g.export_max_kw.at(t).unwrap_or(f64::NAN));
    let mut v = GridVars {
        import,
        export,
        peak: None,
        peak_rows: Vec::new(),
    };
    objective_grid_energy(m, g, &v);
    grid_pairs(m, g, &v);
    constraint_grid_peak(m, g, &mut v);
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

/// `Σ dt·import over a window (+ already imported) ≤ P · hours of the window`; `P` starts at the peak already paid.
fn constraint_grid_peak(m: &mut Model<'_>, g: &GridProblem, v: &mut GridVars) {
    if g.demand_charge_per_kw <= 0.0 {
        return;
    }
    let highest = m
        .steps()
        .filter_map(|t| g.import_max_kw.at(t))
        .fold(g.peak_so_far_kw, f64::max);
    let already = g
        .first_window
        .map_or(0.0, |w| w.imported_kwh / (w.past_hours + m.dt[0]).max(1e-9));
    let peak = m.program.var(g.peak_so_far_kw, highest + already);
    m.program.cost(g.demand_charge_per_kw, peak);
    let mut windows: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for t in m.steps() {
        let window = g.demand_window.as_ref().and_then(|w| w.get(t).copied()).unwrap_or(t);
        windows.entry(window).or_default().push(t);
    }
    for steps in windows.values() {
        let first = g.first_window.filter(|_| steps[0] == 0);
        let (imported, past) = first.map_or((0.0, 0.0), |w| (w.imported_kwh, w.past_hours));
        let hours: f64 = past + steps.iter().map(|t| m.dt[*t]).sum::<f64>();
        let energy = steps.iter().fold(Expr::from(imported / hours), |sum, t| {
            sum + m.dt[*t] / hours * v.import[*t]
        });
        v.peak_rows
            .push(m.program.at_most("constraint_grid_peak", energy, peak));
    }
    v.peak = Some(peak);
}

/// `Σ dt·import = Σ blocks`, dearer blocks last, so the cheap ones fill first by themselves.
fn constraint_grid_blocks(m: &mut Model<'_>, g: &GridProblem, v: &GridVars) {
    if g.blocks.is_empty() {
        return;
    }
    let energy = m.steps().fold(Expr::default(), |sum, t| sum + m.dt[t] * v.import[t]);
    let (_, most) = m.range(&energy);
    let mut filled = Expr::default();
    for block in &g.blocks {
        let used = m.program.var(0.0, block.size_kwh.unwrap_or(most).min(most));
        m.program.cost(block.price, used);
        filled += used;
    }
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
