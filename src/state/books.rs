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

/// The clock jumped by `step` to `now`. Nothing that was counted is given up and nothing is counted twice: a day or month that a
/// clock set back finds begun goes on, and where it lies more than a day ahead (a wrong year was corrected) it becomes
/// that of `now`. A clock set forward turns them as time does.
pub fn step(plant: &Plant, state: &mut ControllerState, step: TimeDelta, now: Timestamp) {
    let ahead = |start: Timestamp| start > now + TimeDelta::days(1);
    if ahead(state.today.start) {
        state.today.start = day_start(plant, now);
    }
    if ahead(state.month.month_start) {
        state.month.month_start = plant.tariff.month_start(now);
    }
    if step.abs() >= window_length(plant) {
        // what was imported in another window says nothing about this one
        state.window = fresh_window(floor_to(now, window_length(plant)));
    }
}

/// A clock that could not be right has become right: a day and a month that began by it are those of `now`; `before` is what it
/// said last.
pub fn redate(plant: &Plant, state: &mut ControllerState, before: Timestamp, now: Timestamp) {
    if state.today.start <= before {
        state.today.start = day_start(plant, now);
    }
    if state.month.month_start <= before {
        state.month.month_start = plant.tariff.month_start(now);
    }
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
    let mean = state.window.imported / measured(&state.window, length);
    if plant.tariff.power_window().is_some() && mean > state.month.peak {
        state.month.peak = mean;
    }
    state.window = fresh_window(start);
}

/// What the window's energy is a mean over: its length; more where the clock was set back in it, and a part was passed twice.
fn measured(window: &WindowUse, length: TimeDelta) -> TimeDelta {
    let covered = TimeDelta::milliseconds((window.covered_s * 1e3) as i64);
    let passed_twice = covered > length + TimeDelta::seconds(1).max(length / 50);
    if passed_twice { covered } else { length }
}

fn fresh_window(start: Timestamp) -> WindowUse {
    WindowUse {
        start,
        imported: Energy::ZERO,
        exported: Energy::ZERO,
        covered_s: 0.0,
    }
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

fn day_start(plant: &Plant, now: Timestamp) -> Timestamp {
    let tz = plant.location.time_zone;
    local_midnight(tz, now.with_timezone(&tz).date_naive())
}

fn turn_day(plant: &Plant, state: &mut ControllerState, now: Timestamp) {
    let start = day_start(plant, now);
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
