//! The connection point: limits in force, prices, blocks, demand charge on its metering window.

use super::Context;
use crate::model::{
    BlockProblem, CapacityProblem, DemandProblem, Direction, FirstWindow, GridProblem, KnownPeak, PerStep,
    QuantityProblem,
};
use crate::site::ConnectionPoint;
use crate::tariff::{DayPeak, DemandCharge, ImportPrice, MonthUse, Overrun, Peaks, Step};
use crate::time::{Timestamp, floor_to, local_midnight};
use crate::units::{Power, hours};
use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::ops::Range;

pub fn grid(x: &Context<'_>, c: &ConnectionPoint) -> GridProblem {
    let objective = &x.plant.objective;
    let window = x.plant.tariff.power_window();
    let taxed = objective.money * (1.0 + x.plant.tariff.tax);
    GridProblem {
        import_max_kw: limit(x, c, c.import_max, Direction::Import),
        export_max_kw: limit(x, c, c.export_max, Direction::Export),
        buy: x.prices.buy.clone(),
        sell: x.prices.sell.clone(),
        co2_kg_per_kwh: PerStep::All(x.plant.tariff.grid_carbon),
        demand_charge_per_kw: 0.0,
        peak_so_far_kw: 0.0,
        exclusive: true,
        demand_window: window.map(|w| windows(x, w)),
        first_window: window.and_then(|w| first_window(x, w)),
        self_sufficiency_per_kwh: objective.self_sufficiency.as_per_kwh(),
        blocks: Vec::new(),
        quantities: quantities(x),
        demand: demands(x, taxed),
        capacity: capacity(x, taxed),
        outages: Vec::new(),
        renewable_share: PerStep::All(x.plant.tariff.grid_renewable),
    }
}

/// The demand charge of each billing month in the horizon: of the one that runs, with what it has seen, and of the next.
fn demands(x: &Context<'_>, taxed: f64) -> Vec<DemandProblem> {
    let tariff = &x.plant.tariff;
    let Some(d) = &tariff.demand else { return Vec::new() };
    let next = next_month_step(x);
    let steps = x.steps.len();
    let then = next.and_then(|t| Some(x.state.month.next(tariff, tariff.month_start(x.steps.get(t)?.start))));
    let months = [
        (Some(&x.state.month), 0..next.unwrap_or(steps)),
        (then.as_ref(), next.unwrap_or(steps)..steps),
    ];
    let problem = |(month, held): (Option<&MonthUse>, Range<usize>)| {
        let peaks = &month?.peaks;
        Some(DemandProblem {
            charge_per_kw: taxed * d.per_kw.amount(),
            peaks: d.peaks,
            minimum_kw: d.floor(peaks).as_kw(),
            known: known(x, d, peaks),
            groups: (0..steps)
                .map(|t| group(x, d, t).filter(|_| held.contains(&t)))
                .collect(),
        })
    };
    months.into_iter().filter_map(problem).collect()
}

fn known(x: &Context<'_>, d: &DemandCharge, peaks: &Peaks) -> Vec<KnownPeak> {
    let today = x.plant.tariff.date(x.now());
    let known = |p: DayPeak| KnownPeak {
        kw: p.peak.as_kw().max(0.0),
        group: (d.one_a_day && p.day == Some(today)).then_some(0),
    };
    peaks.highest().into_iter().take(d.peaks).map(known).collect()
}

/// What the metering window of a step competes with: its day, or only itself. `None` where it does not count.
fn group(x: &Context<'_>, d: &DemandCharge, t: usize) -> Option<usize> {
    let tariff = &x.plant.tariff;
    let start = floor_to(x.steps.get(t)?.start, d.window);
    let group = match d.one_a_day {
        true => (tariff.date(start) - tariff.date(x.now())).num_days().max(0) as usize,
        false => window_of(x, start, d.window),
    };
    tariff.counts(start).then_some(group)
}

/// First step of the next billing month.
fn next_month_step(x: &Context<'_>) -> Option<usize> {
    let tariff = &x.plant.tariff;
    let now = tariff.month_start(x.now());
    x.steps.iter().position(|s| tariff.month_start(s.start) > now)
}

/// Subscribed power. Where the month's highest mean is billed, what was already overrun is paid.
fn capacity(x: &Context<'_>, taxed: f64) -> Option<CapacityProblem> {
    let c = x.plant.tariff.capacity?;
    let (per_kw, per_kwh, peak) = match c.overrun {
        Overrun::Highest(per_kw) => (per_kw.amount(), 0.0, x.state.month.peaks.peak.as_kw().max(0.0)),
        Overrun::Energy(price) => (0.0, price.as_per_kwh(), 0.0),
    };
    Some(CapacityProblem {
        subscribed_kw: c.subscribed.as_kw(),
        overrun_per_kw: taxed * per_kw,
        overrun_per_kwh: taxed * per_kwh,
        peak_so_far_kw: peak,
        next_month_step: next_month_step(x),
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
fn windows(x: &Context<'_>, window: TimeDelta) -> Vec<usize> {
    x.steps.iter().map(|s| window_of(x, s.start, window)).collect()
}

/// Number of the metering window that holds `t`; the running one has 0.
fn window_of(x: &Context<'_>, t: Timestamp, window: TimeDelta) -> usize {
    let since = t - floor_to(x.now(), window);
    (since.num_seconds() / window.num_seconds().max(1)) as usize
}

/// What the current window has already seen, if the books are of this window.
fn first_window(x: &Context<'_>, window: TimeDelta) -> Option<FirstWindow> {
    let start = floor_to(x.now(), window);
    let past = hours(x.now() - start);
    (x.state.window.start == start && past > 0.0).then(|| FirstWindow {
        imported_kwh: x.state.window.imported.as_kwh().max(0.0),
        past_hours: past,
    })
}

/// Import whose price depends on the quantity: what is left of the step in force and the dearer ones after it, relative to
/// the price of the first (which `buy` holds).
fn quantities(x: &Context<'_>) -> Vec<QuantityProblem> {
    let mut sets: BTreeMap<(Timestamp, u32), Vec<usize>> = BTreeMap::new();
    for (t, s) in x.steps.iter().enumerate() {
        sets.entry(counted_with(x, s.start)).or_default().push(t);
    }
    let set = |steps: Vec<usize>| {
        let first = x.steps.get(*steps.first()?)?.start;
        let blocks = blocks(x, first);
        (!blocks.is_empty()).then(|| QuantityProblem {
            counts: (0..x.steps.len()).map(|t| steps.contains(&t)).collect(),
            blocks,
        })
    };
    sets.into_values().filter_map(set).collect()
}

/// Steps with the same answer share a quantity: a month of blocks, or the limited hours of a day.
fn counted_with(x: &Context<'_>, t: Timestamp) -> (Timestamp, u32) {
    let tariff = &x.plant.tariff;
    let limited = tariff.period(t).is_some_and(|p| p.limit.is_some());
    match &tariff.import {
        ImportPrice::Blocks(_) => (tariff.month_start(t), tariff.month_of(t)),
        _ if limited => (local_midnight(tariff.time_zone, tariff.date(t)), 1),
        _ => (Timestamp::MIN_UTC, 0),
    }
}

fn blocks(x: &Context<'_>, t: Timestamp) -> Vec<BlockProblem> {
    let tariff = &x.plant.tariff;
    let steps = tariff.steps(t, &x.state.month);
    // falling prices would need integers: only the step in force counts then
    let rising = steps.windows(2).all(|w| w[0].price <= w[1].price);
    if !rising || steps.last().is_none_or(|s| s.left.is_some()) {
        return Vec::new();
    }
    let (Some(first), Some(fee)) = (steps.first().map(|s| s.price), tariff.fee(t)) else {
        return Vec::new();
    };
    let all_in = |price| x.plant.objective.money * tariff.all_in(price, fee).as_per_kwh();
    let block = |s: Step| BlockProblem {
        size_kwh: s.left.map(|e| e.as_kwh()),
        price: all_in(s.price) - all_in(first),
    };
    steps.into_iter().map(block).collect()
}
