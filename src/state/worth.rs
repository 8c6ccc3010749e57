//! What stored energy, fuel and wear are worth: one rule for live books and for the report of a simulated day.

use crate::site::{Generator, Kind, Plant};
use crate::tariff::{MonthUse, PriceFiles};
use crate::time::Timestamp;

/// Price that a stored kWh is valued at over `[from, to)`, before losses: the mean import price; on an island what a kWh
/// from its first generator costs at full load. `None` where no price is known.
pub fn stored_price(
    plant: &Plant,
    prices: Option<&PriceFiles>,
    month: &MonthUse,
    from: Timestamp,
    to: Timestamp,
) -> Option<f64> {
    if plant.connection.is_some() {
        return plant.tariff.mean_buy(from, to, prices, month).map(|p| p.as_per_kwh());
    }
    plant.components.values().find_map(|c| match &c.kind {
        Kind::Generator(g) => Some(generated_kwh(plant, g)),
        _ => None,
    })
}

/// What a kWh from a generator costs at full load, counted as `cost` counts it: fuel, fuel of running empty, carbon.
fn generated_kwh(plant: &Plant, g: &Generator) -> f64 {
    let running = g.no_load_per_hour / g.power_max.as_kw();
    g.fuel.as_per_kwh() + running + plant.objective.carbon_per_kg * g.carbon
}

/// Worth of `kwh` more in a component's store; `None` for what stores nothing.
pub fn stored(kind: &Kind, kwh: f64, price: f64) -> Option<f64> {
    match kind {
        Kind::Battery(b) => Some(kwh * price * b.discharge_efficiency),
        // Heat is worth the electricity that it saves, at the pump's COP in mild weather.
        Kind::HeatPump(h) => Some(kwh * price / h.cop[1].1),
        // A car that leaves tomorrow: else whoever charges it before midnight would seem dearer.
        Kind::ChargePoint(_) => Some(kwh * price),
        _ => None,
    }
}

/// Wear of `kwh` charged or discharged.
pub fn wear(kind: &Kind, kwh: f64) -> f64 {
    match kind {
        Kind::Battery(b) => b.wear.as_per_kwh() * kwh,
        _ => 0.0,
    }
}

/// Cost of a generator that gave `kwh` in `hours` of running, after `starts`.
pub fn fuel(g: &Generator, kwh: f64, hours: f64, starts: u32) -> f64 {
    g.fuel.as_per_kwh() * kwh + g.no_load_per_hour * hours + g.start_cost * f64::from(starts)
}

/// Litres that a generator burnt for `kwh` in `hours` of running; `None` without a fuel curve.
pub fn litres(g: &Generator, kwh: f64, hours: f64) -> Option<f64> {
    g.fuel_use.map(|f| f.per_kwh * kwh + f.per_hour * hours)
}
