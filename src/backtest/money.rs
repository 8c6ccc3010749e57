//! What the days cost: the tariff's bill from metered energy, plus what no meter bills.

use crate::model::Costs;
use crate::site::{Kind, Plant};
use crate::state::worth;
use crate::tariff::{Bill, MonthUse, PriceFiles, bill};
use crate::time::Timestamp;
use crate::twin::Books;

/// Settles the books of one run. `month` is the month's use when it began.
pub fn settle(plant: &Plant, books: &Books, prices: Option<&PriceFiles>, month: MonthUse, start: Timestamp) -> Costs {
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
    let parts = plant.components.iter().filter_map(|(id, c)| {
        let book = books.components.get(id)?;
        Some(worth::wear(&c.kind, book.energy_in + book.energy_out))
    });
    parts.sum()
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

/// Change of stored energy at the days' mean price; not a number where no price is known.
fn stored(plant: &Plant, books: &Books, prices: Option<&PriceFiles>, bill: &Bill, start: Timestamp) -> f64 {
    let end = books.metered.last().map_or(start, |m| m.interval.end);
    let Some(price) = worth::stored_price(plant, prices, &bill.month, start, end) else {
        return f64::NAN;
    };
    let parts = plant.components.iter().filter_map(|(id, c)| {
        let change = books.stored.get(id).map(|s| s.end_kwh - s.start_kwh)?;
        worth::stored(&c.kind, change, price)
    });
    parts.sum()
}
