//! Connection point: import, export, limits, outages, demand charge, subscribed power, blocks, direction.

use super::commitment::{Commitment, Side};
use super::{Model, Pair, Slack};
use crate::model::{BlockProblem, CapacityProblem, DemandProblem, GridProblem};
use crate::plan::program::{Expr, RowId, Var};
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub struct GridVars {
    pub import: Vec<Var>,
    pub export: Vec<Var>,
    /// By metering window; none where it does not count or cannot reach what is paid.
    pub peak_rows: BTreeMap<usize, RowId>,
}

pub fn grid(m: &mut Model<'_>, g: &GridProblem) {
    let import = m.per_step(|t| g.import_limit(t).unwrap_or(f64::NAN));
    let export = m.per_step(|t| g.export_limit(t).unwrap_or(f64::NAN));
    let mut v = GridVars {
        import,
        export,
        peak_rows: BTreeMap::new(),
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

/// A metering window of the horizon: its number, its first step, its mean import (what it has already imported included),
/// kW, and its hours.
struct Window {
    number: usize,
    step: usize,
    mean: Expr,
    hours: f64,
}

fn windows(m: &Model<'_>, g: &GridProblem, v: &GridVars) -> Vec<Window> {
    let mut windows: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for t in m.steps() {
        windows.entry(g.window(t)).or_default().push(t);
    }
    let window = |(number, steps): (usize, Vec<usize>)| {
        let first = g.first_window.filter(|_| steps[0] == 0);
        let (imported, past) = first.map_or((0.0, 0.0), |w| (w.imported_kwh, w.past_hours));
        let hours: f64 = past + steps.iter().map(|t| m.dt[*t]).sum::<f64>();
        let mean = steps.iter().fold(Expr::from(imported / hours), |sum, t| {
            sum + m.dt[*t] / hours * v.import[*t]
        });
        Window {
            number,
            step: steps[0],
            mean,
            hours,
        }
    };
    windows.into_iter().map(window).collect()
}

/// The highest mean that any of the windows can reach, kW.
fn reach<'w>(m: &Model<'_>, windows: impl Iterator<Item = &'w Window>) -> f64 {
    windows.map(|w| m.range(&w.mean).1).fold(0.0, f64::max)
}

/// Demand charges: what is billed whatever the horizon holds is paid, and `over` beyond it; `over` is one for all windows.
fn constraint_grid_peak(m: &mut Model<'_>, g: &GridProblem, v: &mut GridVars) {
    for d in g.demands(m.dt.len()) {
        let paid = d.billed([]);
        let counted: Vec<(usize, Window)> = windows(m, g, v)
            .into_iter()
            .filter_map(|w| Some((d.groups[w.step]?, w)))
            .collect();
        let highest = reach(m, counted.iter().map(|(_, w)| w));
        let known = d.known.iter().map(|k| k.kw).fold(paid, f64::max);
        let over = m.program.at(0).var(0.0, highest.max(known) - paid);
        m.program.cost(d.charge_per_kw, 1.0 * over + paid);
        let levels = match d.peaks {
            1 => BTreeMap::new(),
            _ => highest_levels(m, &d, &counted, highest.max(known), 1.0 * over + paid),
        };
        let c = Commitment {
            family: PEAK,
            name: "peak",
            component: "grid",
            weight: 1.0,
            unit: "kW",
        };
        for (group, w) in &counted {
            let row = match levels.get(group) {
                Some(level) => m.commit(c, &w.mean, 0.0, Side::Shared(level.clone()), Side::Free),
                None => m.commit(c, &w.mean, paid, Side::Shared(over.into()), Side::Free),
            };
            v.peak_rows.extend(row.map(|row| (w.number, row)));
        }
    }
}

const PEAK: &str = "constraint_grid_peak";

/// `k` times the mean of the `k` highest groups is the least `k·θ + Σ u` with `θ + u_g ≥` the windows of group `g` (Ogryczak
/// and Tamir, *Inf. Process. Lett.* 85, 2003); at most `k·billed`. Gives `θ + u_g` of each group.
fn highest_levels(
    m: &mut Model<'_>,
    d: &DemandProblem,
    counted: &[(usize, Window)],
    reach: f64,
    billed: Expr,
) -> BTreeMap<usize, Expr> {
    let theta = m.program.at(0).var(0.0, reach);
    let mut sum = d.peaks as f64 * theta;
    let mut level = |m: &mut Model<'_>, step: usize| {
        let above = m.program.at(step).var(0.0, reach);
        sum += 1.0 * above;
        1.0 * theta + above
    };
    let mut levels: BTreeMap<usize, Expr> = BTreeMap::new();
    for (group, w) in counted {
        if !levels.contains_key(group) {
            levels.insert(*group, level(m, w.step));
        }
    }
    for k in &d.known {
        let own = k.group.and_then(|g| levels.get(&g).cloned());
        let held = own.unwrap_or_else(|| level(m, 0));
        m.program.at_most(PEAK, k.kw, held);
    }
    m.program.at_most(PEAK, sum, d.peaks as f64 * &billed);
    levels
}

/// Capacity tariff: `mean of each window ≤ subscribed + over`; the highest `over` of a billing month is priced a kW, each a
/// kWh.
fn constraint_grid_capacity(m: &mut Model<'_>, g: &GridProblem, v: &GridVars) {
    let Some(capacity) = g.capacity else { return };
    let windows = windows(m, g, v);
    let next = capacity.next_month_step.unwrap_or(usize::MAX);
    let (now, then): (Vec<&Window>, Vec<&Window>) = windows.iter().partition(|w| w.step < next);
    for month in [now, then] {
        capacity_overrun(m, &capacity, &month);
    }
    for w in windows.iter().filter(|_| capacity.overrun_per_kwh > 0.0) {
        let c = Commitment {
            weight: w.hours,
            unit: "kWh",
            name: "capacity_energy",
            ..CAPACITY
        };
        let price = Side::Money(capacity.overrun_per_kwh * w.hours);
        m.commit(c, &w.mean, capacity.subscribed_kw, price, Side::Free);
    }
}

const CAPACITY: Commitment<'static> = Commitment {
    family: "constraint_grid_capacity",
    name: "capacity_overrun",
    component: "grid",
    weight: 1.0,
    unit: "kW",
};

/// The highest overrun of one billing month, where a kW of it is priced.
fn capacity_overrun(m: &mut Model<'_>, capacity: &CapacityProblem, month: &[&Window]) {
    let highest = reach(m, month.iter().copied());
    let Some(free) = month.first().map(|w| capacity.free_kw(w.step)) else {
        return;
    };
    if capacity.overrun_per_kw <= 0.0 || highest <= free {
        return;
    }
    let over = m.program.at(0).var(0.0, highest - free);
    m.slack(Slack {
        name: CAPACITY.name,
        component: CAPACITY.component.into(),
        var: over,
        beyond: None,
        unit: CAPACITY.unit,
        weight: 1.0,
        price: capacity.overrun_per_kw,
        money: true,
    });
    for w in month {
        m.commit(CAPACITY, &w.mean, free, Side::Shared(over.into()), Side::Free);
    }
}

/// `Σ dt·import = Σ blocks` over the steps that count, filled in order: dearer blocks fill last by themselves, falling prices
/// need whole numbers.
fn constraint_grid_blocks(m: &mut Model<'_>, g: &GridProblem, v: &GridVars) {
    for set in g.block_sets(m.dt.len()) {
        let counted = m.steps().filter(|t| set.counts[*t]);
        let energy = counted.fold(Expr::default(), |sum, t| sum + m.dt[t] * v.import[t]);
        let (_, most) = m.range(&energy);
        let size = |b: &BlockProblem| b.size_kwh.unwrap_or(most).min(most);
        let used: Vec<Var> = set.blocks.iter().map(|b| m.program.at(0).var(0.0, size(b))).collect();
        for (used, block) in used.iter().zip(&set.blocks) {
            m.program.cost(block.price, *used);
        }
        let prices: Vec<f64> = set.blocks.iter().map(|b| b.price).collect();
        m.fill_in_order("constraint_grid_blocks", &used, &prices);
        let filled = used.iter().fold(Expr::default(), |sum, b| sum + *b);
        m.program.equal("constraint_grid_blocks", energy, filled);
    }
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
