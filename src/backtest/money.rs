//! What the days cost: the tariff's bill from metered energy, plus what no meter bills.

use crate::site::{Generator, Kind, Plant};
use crate::tariff::{Bill, MonthUse, PriceSeries, bill};
use crate::time::Timestamp;
use crate::twin::Books;
use serde::Serialize;

/// Parts of `cost` (INTERFACE: policies and money), in the site's currency. `stored` is the worth of the change of stored
/// energy; it is subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Costs {
    pub energy: f64,
    pub demand: f64,
    pub fuel: f64,
    pub wear: f64,
    pub carbon: f64,
    pub stored: f64,
}

impl Costs {
    pub fn total(&self) -> f64 {
        self.energy + self.demand + self.fuel + self.wear + self.carbon - self.stored
    }
}

/// Settles the books of one run. `month` is the month's use when it began.
pub fn settle(plant: &Plant, books: &Books, prices: Option<&PriceSeries>, month: MonthUse, start: Timestamp) -> Costs {
    let bill = bill(&plant.tariff, prices, month, &books.metered);
    Costs {
        energy: bill.energy.amount(),
        demand: bill.demand.amount(),
        fuel: books.fuel_cost,
        wear: wear(plant, books),
        carbon: plant.objective.carbon_per_kg * co2_kg(plant, books),
        stored: stored(plant, books, prices, &bill, start),
    }
}

fn wear(plant: &Plant, books: &Books) -> f64 {
    let batteries = plant.components.iter().filter_map(|(id, c)| match &c.kind {
        Kind::Battery(b) => books
            .components
            .get(id)
            .map(|e| b.wear.as_per_kwh() * (e.energy_in + e.energy_out)),
        _ => None,
    });
    batteries.sum()
}

/// Carbon of imported energy and of fuel.
pub fn co2_kg(plant: &Plant, books: &Books) -> f64 {
    let imported: f64 = books.metered.iter().map(|m| m.import.as_kwh()).sum();
    let generators = plant.components.iter().filter_map(|(id, c)| match &c.kind {
        Kind::Generator(g) => books.components.get(id).map(|e| g.carbon * e.energy_out),
        _ => None,
    });
    imported * plant.tariff.grid_carbon + generators.sum::<f64>()
}

/// Change of stored energy at the days' mean import price × discharge efficiency; on an island at what a
/// generated kWh costs.
fn stored(plant: &Plant, books: &Books, prices: Option<&PriceSeries>, bill: &Bill, start: Timestamp) -> f64 {
    let price = mean_price(plant, books, prices, bill, start);
    let worth = plant.components.iter().filter_map(|(id, c)| {
        let change = books.stored.get(id).map(|s| s.end_kwh - s.start_kwh)?;
        match &c.kind {
            Kind::Battery(b) => Some(change * price * b.discharge_efficiency),
            // Heat is worth the electricity it saves, at the pump's COP in mild weather.
            Kind::HeatPump(h) => Some(change * price / h.cop[1].1),
            // A car that will leave tomorrow: else whoever charges it before midnight would seem dearer.
            Kind::ChargePoint(_) => Some(change * price),
            _ => None,
        }
    });
    worth.sum()
}

/// What a kWh from a generator at its best costs, counted as `cost` counts it: fuel, fuel of running empty, carbon.
fn generated_kwh(plant: &Plant, g: &Generator) -> f64 {
    let running = g.no_load_per_hour / g.power_max.as_kw();
    g.fuel.as_per_kwh() + running + plant.objective.carbon_per_kg * g.carbon
}

/// Plain mean over the days' hours, so that no policy can move the price its own store is valued at.
fn mean_price(plant: &Plant, books: &Books, prices: Option<&PriceSeries>, bill: &Bill, start: Timestamp) -> f64 {
    if plant.connection.is_none() {
        let fuel = plant.components.values().find_map(|c| match &c.kind {
            Kind::Generator(g) => Some(generated_kwh(plant, g)),
            _ => None,
        });
        return fuel.unwrap_or(f64::NAN);
    }
    let known: Vec<f64> = books
        .metered
        .iter()
        .filter(|m| m.interval.start >= start)
        .filter_map(|m| plant.tariff.buy_over(m.interval, prices, &bill.month))
        .map(|k| k.price.as_per_kwh())
        .collect();
    known.iter().sum::<f64>() / known.len() as f64
}
