//! Running books: metering window, month peak, money of the day.

use crate::model::{ControllerState, DayBooks, Snapshot, WindowUse};
use crate::site::{Kind, Plant};
use crate::tariff::{MonthUse, PriceSeries};
use crate::time::{Timestamp, floor_to, local_midnight};
use crate::units::{Energy, Money, Power};
use chrono::TimeDelta;

/// Carries the books over `dt`, the time since the last cycle, ending at `now`.
pub fn update(
    plant: &Plant,
    snapshot: &Snapshot,
    state: &mut ControllerState,
    prices: Option<&PriceSeries>,
    dt: TimeDelta,
    now: Timestamp,
) {
    turn_window(plant, state, now);
    turn_month(plant, state, now);
    turn_day(plant, state, now);
    let Some(grid) = snapshot.grid.and_then(|g| g.usable()) else {
        return;
    };
    let import = grid.max(Power::ZERO) * dt;
    let export = (-grid).max(Power::ZERO) * dt;
    state.window.imported += import;
    state.window.exported += export;
    state.window.covered_s += dt.as_seconds_f64();
    state.today.imported += import;
    state.today.exported += export;
    state.today.co2_kg += import.as_kwh() * plant.tariff.grid_carbon;
    if let Some(cost) = cost(plant, state, prices, import, export, now) {
        state.today.cost += cost.amount();
    }
    if let Some(base) = baseline(plant, snapshot) {
        let (i, e) = (base.max(Power::ZERO) * dt, (-base).max(Power::ZERO) * dt);
        if let Some(cost) = self::cost(plant, state, prices, i, e, now) {
            state.today.baseline_cost += cost.amount();
        }
    }
    state.month.imported += import;
}

/// Length of the metering window: the tariff's, or 15 minutes.
pub fn window_length(plant: &Plant) -> TimeDelta {
    plant.tariff.power_window().unwrap_or(TimeDelta::minutes(15))
}

fn cost(
    plant: &Plant,
    state: &ControllerState,
    prices: Option<&PriceSeries>,
    import: Energy,
    export: Energy,
    now: Timestamp,
) -> Option<Money> {
    let buy = plant.tariff.buy(now, prices, &state.month)?.price;
    let sell = plant.tariff.sell(now, prices)?;
    Some(import * buy - export * sell)
}

/// What the meter would show if storages did nothing: grid minus the batteries' power.
fn baseline(plant: &Plant, snapshot: &Snapshot) -> Option<Power> {
    let mut net = snapshot.grid?.usable()?;
    for (id, c) in &plant.components {
        if matches!(c.kind, Kind::Battery(_)) {
            net -= snapshot.power(id)?;
        }
    }
    Some(net)
}

fn turn_window(plant: &Plant, state: &mut ControllerState, now: Timestamp) {
    let length = window_length(plant);
    let start = floor_to(now, length);
    if start == state.window.start {
        return;
    }
    let mean = state.window.imported / length;
    if plant.tariff.power_window().is_some() && mean > state.month.peak {
        state.month.peak = mean;
    }
    state.window = WindowUse {
        start,
        imported: Energy::ZERO,
        exported: Energy::ZERO,
        covered_s: 0.0,
    };
}

fn turn_month(plant: &Plant, state: &mut ControllerState, now: Timestamp) {
    let start = plant.tariff.month_start(now);
    if start > state.month.month_start {
        state.month = MonthUse {
            month_start: start,
            imported: Energy::ZERO,
            peak: Power::ZERO,
        };
    }
}

fn turn_day(plant: &Plant, state: &mut ControllerState, now: Timestamp) {
    let tz = plant.location.time_zone;
    let start = local_midnight(tz, now.with_timezone(&tz).date_naive());
    if start > state.today.start {
        state.today = DayBooks {
            start,
            cost: 0.0,
            baseline_cost: 0.0,
            imported: Energy::ZERO,
            exported: Energy::ZERO,
            co2_kg: 0.0,
        };
    }
}
