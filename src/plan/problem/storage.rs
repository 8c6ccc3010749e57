//! Batteries: ratings from the plant, state from the snapshot, worth of what is left at the end.

use super::{Context, money};
use crate::model::{BatteryProblem, Reserve};
use crate::site::{Battery, Id, Kind};

/// Quantile of the known import prices that a stored kWh is expected to save later (docs/planning.md, terminal value).
const LATER_QUANTILE: f64 = 0.2;
/// A kWh now is worth a little more than one later; also breaks the tie of flat tariffs towards using what is stored.
const LATER_SHARE: f64 = 0.95;
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
            cost_per_kwh_hour: 2.0 * x.prices.top,
        }),
        dwell: Vec::new(),
        ramp_kw: None,
        power_start_kw: None,
        goals: Vec::new(),
        end_values: Vec::new(),
    })
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
