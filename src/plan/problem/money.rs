//! Prices as the plan sees them: none unknown, all in one scale.

use crate::model::Forecast;
use crate::site::{Kind, Plant};
use crate::tariff::Overrun;
use crate::units::hours;

/// An unknown import price is taken this much above the highest known one, so that nothing is bought for storage then.
const UNKNOWN: f64 = 1.2;

pub struct Prices {
    /// Money per kWh and step, weighted by the objective's weight on money, without carbon.
    pub buy: Vec<f64>,
    pub sell: Vec<f64>,
    /// Highest price of a kWh, any source; penalties are multiples of it.
    pub top: f64,
    /// Median price of a kWh; preferences are small shares of it.
    pub typical: f64,
    /// Prices of a kWh that were really published, ascending; with carbon and self-sufficiency.
    known: Vec<f64>,
}

impl Prices {
    pub fn of(plant: &Plant, forecast: &Forecast) -> Self {
        let weight = plant.objective.money;
        let steps = forecast.grid.len();
        let buy_at = |t: usize| forecast.buy.get(t).copied().flatten();
        let mut known: Vec<f64> = (0..steps)
            .filter_map(|t| buy_at(t).filter(|p| !p.estimated))
            .map(|p| weight * p.price.as_per_kwh() + beside_money(plant))
            .collect();
        known.sort_by(f64::total_cmp);
        let any = || (0..steps).filter_map(buy_at).map(|p| weight * p.price.as_per_kwh());
        let highest = any().fold(0.0, f64::max);
        let unknown = if highest > 0.0 { UNKNOWN * highest } else { weight };
        let buy = (0..steps)
            .map(|t| buy_at(t).map_or(unknown, |p| weight * p.price.as_per_kwh()))
            .collect();
        let sell_at = |t: usize| forecast.sell.get(t).copied().flatten().map(|p| weight * p.as_per_kwh());
        let lowest = (0..steps).filter_map(sell_at).fold(0.0, f64::min);
        let sell: Vec<f64> = (0..steps).map(|t| sell_at(t).unwrap_or(lowest)).collect();
        let fuels = fuel_prices(plant);
        let all = || any().chain(fuels.iter().copied());
        let top = all().fold(0.0, f64::max);
        let mut sorted: Vec<f64> = all().map(f64::abs).filter(|p| *p > 0.0).collect();
        sorted.sort_by(f64::total_cmp);
        Self {
            buy,
            sell,
            top: if top > 0.0 { top } else { 1.0 },
            typical: sorted.get(sorted.len() / 2).copied().unwrap_or(1.0),
            known,
        }
    }

    /// Quantile of the published import prices; `None` where none is known.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let last = self.known.len().checked_sub(1)?;
        self.known.get((q * last as f64).round() as usize).copied()
    }
}

/// What an imported kWh costs in the objective besides money: carbon and the wish for self-sufficiency.
fn beside_money(plant: &Plant) -> f64 {
    plant.objective.carbon_per_kg * plant.tariff.grid_carbon + plant.objective.self_sufficiency.as_per_kwh()
}

/// What a kW more in one of the month's peaks costs: demand charge, shared by the peaks whose mean is billed, and overrun
/// where the highest one is billed.
pub fn peak_per_kw(plant: &Plant) -> f64 {
    let tariff = &plant.tariff;
    let overrun = tariff.capacity.and_then(|c| match c.overrun {
        Overrun::Highest(per_kw) => Some(per_kw.amount()),
        Overrun::Energy(_) => None,
    });
    let demand = tariff.demand.as_ref().map(|d| d.per_kw.amount() / d.peaks as f64);
    let per_kw = demand.unwrap_or(0.0) + overrun.unwrap_or(0.0);
    plant.objective.money * (1.0 + tariff.tax) * per_kw
}

/// The most that a kWh within one metering window can raise it by.
pub fn peak_per_kwh(plant: &Plant) -> f64 {
    let window = plant.tariff.power_window();
    window.map_or(0.0, |w| peak_per_kw(plant) / hours(w))
}

/// Fuel prices of the generators with their carbon, money per electric kWh.
pub fn fuel_prices(plant: &Plant) -> Vec<f64> {
    let price = |k: &Kind| match k {
        Kind::Generator(g) => {
            Some(plant.objective.money * g.fuel.as_per_kwh() + plant.objective.carbon_per_kg * g.carbon)
        }
        _ => None,
    };
    plant.components.values().filter_map(|c| price(&c.kind)).collect()
}

/// The same with the fuel of running empty, spread over full power: what a kWh costs that has to be generated some day.
pub fn generated_prices(plant: &Plant) -> Vec<f64> {
    let price = |k: &Kind| match k {
        Kind::Generator(g) => {
            let fuel = g.fuel.as_per_kwh() + g.no_load_per_hour / g.power_max.as_kw().max(1e-9);
            Some(plant.objective.money * fuel + plant.objective.carbon_per_kg * g.carbon)
        }
        _ => None,
    };
    plant.components.values().filter_map(|c| price(&c.kind)).collect()
}

/// Import and export prices in the units of marginal values: what the objective charges and pays for a kWh at the meter.
pub fn effective_prices(plant: &Plant, forecast: &Forecast) -> (Vec<Option<f64>>, Vec<Option<f64>>) {
    let weight = plant.objective.money;
    let beside = beside_money(plant);
    let buy = forecast
        .buy
        .iter()
        .map(|p| p.map(|p| weight * p.price.as_per_kwh() + beside));
    let sell = forecast.sell.iter().map(|p| p.map(|p| weight * p.as_per_kwh()));
    (buy.collect(), sell.collect())
}
