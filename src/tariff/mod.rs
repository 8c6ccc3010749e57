//! Price rules and the one `bill` that computes everybody's money.
//!
//! `Tariff` is data (from site.toml); a price that is not known is `None`, never zero.

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

use crate::time::{DayKind, Timestamp};
use crate::units::{Energy, Money, Power, Price};
use chrono::TimeDelta;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

mod bill;
mod lookup;
mod price_file;
mod series;
pub use bill::{Bill, MeterInterval, bill, window_charge};
pub use series::{PriceSeries, published_until};

/// What the site pays and is paid.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tariff {
    /// ISO 4217, e.g. `KRW`.
    pub currency: String,
    pub time_zone: Tz,
    /// ISO 3166, for public holidays.
    pub country: String,
    /// Days billed like Sundays besides the country's holidays.
    pub holidays: Vec<chrono::NaiveDate>,
    pub import: ImportPrice,
    /// Added to each imported kWh after the price (grid fee, levy).
    pub import_fee: Price,
    /// Share added on price + fee (VAT).
    pub tax: f64,
    pub export: ExportPrice,
    pub demand: Option<DemandCharge>,
    /// Subscribed power and what going beyond it costs.
    pub capacity: Option<CapacityCharge>,
    /// Carbon intensity of imported energy, kg/kWh.
    pub grid_carbon: f64,
    /// Share of imported energy that is renewable, 0..=1.
    pub grid_renewable: f64,
}

impl Tariff {
    /// Length of the metering window that power is billed on; `None` where it is not.
    pub fn power_window(&self) -> Option<TimeDelta> {
        let demand = self.demand.as_ref().map(|d| d.window);
        demand.or(self.capacity.map(|c| c.window))
    }
    /// Power that was contracted or subscribed.
    pub fn contracted(&self) -> Option<Power> {
        let contract = self.demand.as_ref().and_then(|d| d.contract);
        contract.or(self.capacity.map(|c| c.subscribed))
    }
    /// Highest window mean of the month that was already there when the site started.
    pub fn peak_so_far(&self) -> Power {
        let demand = self.demand.as_ref().map(|d| d.peak_so_far);
        demand.or(self.capacity.map(|c| c.peak_so_far)).unwrap_or(Power::ZERO)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum ImportPrice {
    Flat(Price),
    /// Periods by season, day kind and local hours; every instant is covered exactly once (checked when parsed).
    TimeOfUse(TimeOfUse),
    /// From a watched file; hours not yet published are estimated from known ones, and marked.
    Dynamic {
        file: String,
    },
    /// Monthly blocks of use, each with its price; the last block has no end.
    Blocks(Vec<Block>),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum ExportPrice {
    Flat(Price),
    /// Day-ahead price × share + adder (no tax).
    Dynamic {
        share: f64,
        adder: Price,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeOfUse {
    pub periods: Vec<Period>,
}

/// One row of a time-of-use table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Period {
    /// Shown to people: `peak`, `mid`, `off-peak`.
    pub name: String,
    /// 1..=12.
    pub months: Vec<u32>,
    pub days: Vec<DayKind>,
    /// Local minutes of day `[from, to)`; 1440 ends the day. A period over midnight is two entries.
    pub minutes: Vec<(u32, u32)>,
    pub price: Price,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Block {
    /// Upper end of the block in the month's kWh; `None` for the last.
    pub up_to: Option<Energy>,
    pub price: Price,
}

/// Charge on the highest mean import of a metering window in the billing month.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DemandCharge {
    /// Money per kW and month.
    pub per_kw: Money,
    pub window: TimeDelta,
    /// Highest window mean already paid for this month (or looked back to) when the site starts.
    pub peak_so_far: Power,
    /// Contracted power, shown as a target; `None` where there is none.
    pub contract: Option<Power>,
}

/// Subscribed power: import above it, as the mean of a metering window, costs extra.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CapacityCharge {
    pub subscribed: Power,
    pub overrun: Overrun,
    pub window: TimeDelta,
    /// Highest window mean of this month when the site starts.
    pub peak_so_far: Power,
}

/// What going beyond the subscription is billed on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Overrun {
    /// The month's highest window mean, each kW beyond.
    Highest(Money),
    /// Every kWh beyond.
    Energy(Price),
}

/// Use of the current billing month, needed for blocks and demand.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MonthUse {
    /// First instant of the local billing month.
    pub month_start: Timestamp,
    pub imported: Energy,
    /// Highest window mean so far.
    pub peak: Power,
}

/// A price of one interval as known at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KnownPrice {
    pub price: Price,
    /// True where the hour was not published yet and the price was filled from known ones.
    pub estimated: bool,
}
