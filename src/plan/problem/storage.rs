//! Batteries: ratings from the plant, state from the snapshot, worth of what is left at the end.

use super::{Context, money};
use crate::model::{BatteryProblem, LifelineProblem, Reserve, SocGoal};
use crate::site::{Battery, Id, Kind};
use crate::time::local_instant;
use crate::units::hours;
use chrono::TimeDelta;

/// Quantile of the known import prices that a stored kWh is expected to save later (docs/planning.md, terminal value).
const LATER_QUANTILE: f64 = 0.2;
/// A kWh now is worth a little more than one later; also breaks the tie of flat tariffs towards using what is stored.
const LATER_SHARE: f64 = 0.95;
/// Worth of a kWh of what should be held in store, in highest prices, where nobody said.
const WISH: f64 = 2.0;
/// Without a grid a stored kWh saves fuel, unless the sun would have filled the battery anyway.
const ISLAND_SHARE: f64 = 0.9;

/// Batteries whose state of charge is known; the others stay as they are.
pub fn batteries(x: &Context<'_>) -> Vec<BatteryProblem> {
    let all = x.all(|k| if let Kind::Battery(b) = k { Some(b) } else { None });
    all.into_iter().filter_map(|(id, _, b)| battery(x, id, b)).collect()
}

fn battery(x: &Context<'_>, id: &Id, b: &Battery) -> Option<BatteryProblem> {
    let soc = x.snapshot.soc(id)?.as_ratio();
    let capacity = b.capacity.as_kwh();
    let wear = x.plant.objective.money * b.wear.as_per_kwh();
    let reserve = b.reserve.as_ratio() * capacity;
    Some(BatteryProblem {
        id: id.to_string(),
        capacity_kwh: capacity,
        soc_min_kwh: b.soc_min.as_ratio() * capacity,
        soc_max_kwh: b.soc_max.as_ratio() * capacity,
        soc_start_kwh: soc.clamp(0.0, 1.0) * capacity,
        charge_max_kw: b.charge_max.as_kw(),
        discharge_max_kw: b.discharge_max.as_kw(),
        charge_eff: b.charge_efficiency,
        discharge_eff: b.discharge_efficiency,
        loss_per_hour: 0.0,
        wear_cost_per_kwh: wear,
        end_value_per_kwh: end_value(x, b, wear),
        soc_end_kwh: None,
        soc_end_min_kwh: None,
        exclusive: true,
        standby_kw: b.standby_loss.as_kw().max(0.0),
        no_grid_charge: !b.grid_charge,
        no_grid_discharge: !b.grid_discharge,
        reserve: (reserve > 0.0).then_some(Reserve {
            kwh: reserve,
            cost_per_kwh_hour: WISH * x.prices.top,
        }),
        dwell: Vec::new(),
        ramp_kw: None,
        power_start_kw: None,
        goals: goals(x, b),
        end_values: Vec::new(),
    })
}

/// Wished charges of the days in the horizon, at the end of the last step that is over by then.
fn goals(x: &Context<'_>, b: &Battery) -> Vec<SocGoal> {
    let tz = x.plant.location.time_zone;
    let (now, end) = (x.now(), x.forecast.grid.end());
    let today = now.with_timezone(&tz).date_naive();
    let days = today.iter_days().take(hours(end - now) as usize / 24 + 2);
    let mut all = Vec::new();
    for day in days {
        for goal in &b.goals {
            let at = local_instant(tz, day.and_time(goal.at));
            if at <= now || at > end {
                continue;
            }
            let worth = goal.worth.map(|p| x.plant.objective.money * p.as_per_kwh());
            all.push(SocGoal {
                step: x.steps_over_by(at).saturating_sub(1),
                kwh: goal.soc.as_ratio() * b.capacity.as_kwh(),
                missing_cost_per_kwh: worth.unwrap_or(WISH * x.prices.top),
                excess_cost_per_kwh: 0.0,
            });
        }
    }
    all.sort_by_key(|g| g.step);
    all
}

/// Energy that the batteries should be able to give for the hours after each step, were the grid to fail then. Beyond the
/// horizon the load is taken to be what it is at the same time a day before.
pub fn lifeline(x: &Context<'_>, load_kw: &[f64]) -> Option<LifelineProblem> {
    let wish = x.plant.objective.lifeline?;
    let missing = wish.missing.map(|p| x.plant.objective.money * p.as_per_kwh());
    let hold = hours(wish.time);
    let need = |t: usize| wish.share * ahead(x, load_kw, t + 1, hold);
    Some(LifelineProblem {
        need_kwh: (0..load_kw.len()).map(need).collect(),
        cost_per_kwh_hour: missing.unwrap_or(WISH * x.prices.top),
    })
}

/// kWh of load in the `left` hours from the start of step `from` on.
fn ahead(x: &Context<'_>, load_kw: &[f64], from: usize, mut left: f64) -> f64 {
    let grid = &x.forecast.grid;
    let mut sum = 0.0;
    for (step, kw) in x.steps.iter().zip(load_kw).skip(from) {
        let dt = hours(step.end - step.start).min(left);
        sum += dt * kw;
        left -= dt;
    }
    let mut at = grid.end();
    while left > 1e-9 {
        let before = (1..).map(|days| at - TimeDelta::days(days)).find(|t| *t < grid.end());
        let kw = before
            .and_then(|t| grid.index_of(t.max(grid.start)))
            .and_then(|t| load_kw.get(t));
        let dt = left.min(0.25);
        sum += dt * kw.copied().unwrap_or(f64::NAN);
        at += TimeDelta::minutes(15);
        left -= dt;
    }
    sum
}

/// Worth of a stored kWh at the end of the horizon: what it will save, through the inverter, less its wear.
fn end_value(x: &Context<'_>, b: &Battery, wear: f64) -> f64 {
    let fuel = money::generated_prices(x.plant).into_iter().fold(f64::NAN, f64::min);
    let saved = match x.plant.connection {
        Some(_) => x.prices.quantile(LATER_QUANTILE).map(|p| LATER_SHARE * p),
        None if fuel.is_finite() => Some(ISLAND_SHARE * fuel),
        None => Some(ISLAND_SHARE * x.prices.typical),
    };
    saved.map_or(0.0, |p| (b.discharge_efficiency * (p - wear)).max(0.0))
}
