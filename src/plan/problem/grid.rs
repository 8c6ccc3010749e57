//! The connection point: limits in force, prices, blocks, demand charge on its metering window.

use super::Context;
use crate::model::{BlockProblem, CapacityProblem, Direction, FirstWindow, GridProblem, PerStep};
use crate::site::ConnectionPoint;
use crate::tariff::{ImportPrice, Overrun};
use crate::time::floor_to;
use crate::units::{Power, hours};

pub fn grid(x: &Context<'_>, c: &ConnectionPoint) -> GridProblem {
    let objective = &x.plant.objective;
    let demand = x.plant.tariff.demand.as_ref();
    let window = x.plant.tariff.power_window();
    let taxed = objective.money * (1.0 + x.plant.tariff.tax);
    GridProblem {
        import_max_kw: limit(x, c, c.import_max, Direction::Import),
        export_max_kw: limit(x, c, c.export_max, Direction::Export),
        buy: x.prices.buy.clone(),
        sell: x.prices.sell.clone(),
        co2_kg_per_kwh: PerStep::All(x.plant.tariff.grid_carbon),
        demand_charge_per_kw: demand.map_or(0.0, |d| taxed * d.per_kw.amount()),
        peak_so_far_kw: x.state.month.peak.as_kw().max(0.0),
        exclusive: true,
        demand_window: window.map(|w| windows(x, w)),
        first_window: window.and_then(|w| first_window(x, w)),
        self_sufficiency_per_kwh: objective.self_sufficiency.as_per_kwh(),
        blocks: blocks(x),
        capacity: capacity(x, taxed),
        outages: Vec::new(),
        renewable_share: PerStep::All(x.plant.tariff.grid_renewable),
    }
}

/// Subscribed power. Where the month's highest mean is billed, what was already overrun is paid.
fn capacity(x: &Context<'_>, taxed: f64) -> Option<CapacityProblem> {
    let c = x.plant.tariff.capacity?;
    let (subscribed, peak) = (c.subscribed.as_kw(), x.state.month.peak.as_kw());
    Some(match c.overrun {
        Overrun::Highest(per_kw) => CapacityProblem {
            subscribed_kw: subscribed.max(peak),
            overrun_per_kw: taxed * per_kw.amount(),
            overrun_per_kwh: 0.0,
        },
        Overrun::Energy(price) => CapacityProblem {
            subscribed_kw: subscribed,
            overrun_per_kw: 0.0,
            overrun_per_kwh: taxed * price.as_per_kwh(),
        },
    })
}

/// The tightest of contract, fuse and external limit, in each step; a limit that ends inside a step holds in all of it.
fn limit(x: &Context<'_>, c: &ConnectionPoint, contract: Power, direction: Direction) -> PerStep {
    let fuse = x.phases() * c.fuse.as_amps() * x.voltage() / 1e3;
    let own = contract.as_kw().min(fuse).max(0.0);
    let at = |start| x.state.limits.most_kw(direction, own, start);
    PerStep::Each(x.steps.iter().map(|s| at(s.start)).collect())
}

/// Number of the metering window of each step.
fn windows(x: &Context<'_>, window: chrono::TimeDelta) -> Vec<usize> {
    let first = floor_to(x.now(), window);
    let length = window.num_seconds().max(1);
    x.steps
        .iter()
        .map(|s| ((s.start - first).num_seconds() / length) as usize)
        .collect()
}

/// What the current window has already seen, if the books are of this window.
fn first_window(x: &Context<'_>, window: chrono::TimeDelta) -> Option<FirstWindow> {
    let start = floor_to(x.now(), window);
    let past = hours(x.now() - start);
    (x.state.window.start == start && past > 0.0).then(|| FirstWindow {
        imported_kwh: x.state.window.imported.as_kwh().max(0.0),
        past_hours: past,
    })
}

/// What is left of the block in force and the dearer ones after it, relative to the price now (which `buy` holds).
fn blocks(x: &Context<'_>) -> Vec<BlockProblem> {
    let ImportPrice::Blocks(blocks) = &x.plant.tariff.import else {
        return Vec::new();
    };
    let used = x.state.month.imported.as_kwh();
    let mut left: Vec<_> = blocks
        .iter()
        .filter(|b| b.up_to.is_none_or(|e| e.as_kwh() > used))
        .collect();
    // falling prices would need integers: only the block in force counts then
    let rising = left.windows(2).all(|w| w[0].price <= w[1].price);
    if !rising || left.last().is_none_or(|b| b.up_to.is_some()) {
        left.clear();
    }
    let (Some(now), Some(fee)) = (left.first().map(|b| b.price), x.plant.tariff.fee(x.now())) else {
        return Vec::new();
    };
    let all_in = |price| x.plant.tariff.all_in(price, fee).as_per_kwh();
    let mut from = used;
    left.into_iter()
        .map(|b| {
            let size_kwh = b.up_to.map(|e| e.as_kwh() - from);
            from = b.up_to.map_or(from, |e| e.as_kwh());
            let price = x.plant.objective.money * (all_in(b.price) - all_in(now));
            BlockProblem { size_kwh, price }
        })
        .collect()
}
