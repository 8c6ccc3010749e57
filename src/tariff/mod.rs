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

use crate::time::Timestamp;
use crate::units::{Energy, Money, Power, Price};
use chrono::TimeDelta;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

mod bill;
mod demand;
mod files;
mod lookup;
mod price_file;
mod quantity;
mod series;
mod time_of_use;
pub use bill::{Bill, MeterInterval, bill};
pub use demand::{DayPeak, DemandCharge, PastPeak, Peaks, Ratchet};
pub use files::PriceFiles;
pub use quantity::Step;
pub use series::{PriceSeries, published_until};
pub use time_of_use::{DailyLimit, Hours, Period, TimeOfUse};

/// What the site pays and is paid.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tariff {
    /// ISO 4217, e.g. `KRW`.
    pub currency: String,
    pub time_zone: Tz,
    /// ISO 3166, for public holidays.
    pub country: String,
    /// Day on which each billing month begins, 1..=28.
    pub billing_day: u32,
    /// Days billed like Sundays besides the country's holidays.
    pub holidays: Vec<chrono::NaiveDate>,
    pub import: ImportPrice,
    /// Added to each imported kWh after the price (grid fee, levy).
    pub import_fee: Fee,
    /// Share added on price + fee (VAT).
    pub tax: f64,
    /// Price + fee below zero is taxed too.
    pub tax_on_negative: bool,
    /// Of the price of an imported kWh with fee and tax.
    pub import_bounds: Bounds,
    pub export: Export,
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

impl Tariff {
    /// The same contract for when nobody knows what hour it is: no hour has a price.
    pub fn without_hours(&self) -> Self {
        let mut unknown = self.clone();
        unknown.import = ImportPrice::Dynamic {
            file: String::new(),
            bounds: Bounds::default(),
        };
        if !matches!(unknown.export.price, ExportPrice::Flat(_)) {
            unknown.export.file = Some(String::new());
            unknown.export.price = ExportPrice::Dynamic {
                share: 1.0,
                adder: Price::ZERO,
            };
        }
        unknown
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
        /// Of the day-ahead price, before fee and tax.
        bounds: Bounds,
    },
    /// Monthly blocks of use, each with its price; the last block has no end.
    Blocks(Vec<Block>),
}

/// What is added to the price of each imported kWh.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Fee {
    Flat(Price),
    /// By season, day kind and local hours; every instant is covered exactly once (checked when parsed).
    TimeOfUse(TimeOfUse),
}

/// Lowest and highest value of a price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Bounds {
    pub floor: Option<Price>,
    pub cap: Option<Price>,
}

impl Bounds {
    fn keep(&self, price: Price) -> Price {
        let raised = self.floor.map_or(price, |floor| price.max(floor));
        self.cap.map_or(raised, |cap| raised.min(cap))
    }
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What an exported kWh is paid.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Export {
    pub price: ExportPrice,
    /// Day-ahead prices that the export price follows.
    pub file: Option<String>,
    /// Nothing is paid while the day-ahead price lies below (DE: EEG 2023 § 51).
    pub unpaid_below: Option<Price>,
    pub bounds: Bounds,
}

impl Export {
    /// The same price for each kWh at any time.
    pub fn flat(price: Price) -> Self {
        Self {
            price: ExportPrice::Flat(price),
            file: None,
            unpaid_below: None,
            bounds: Bounds::default(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum ExportPrice {
    Flat(Price),
    /// By season, day kind and local hours; every instant is covered exactly once (checked when parsed).
    TimeOfUse(TimeOfUse),
    /// Day-ahead price × share + adder (no tax).
    Dynamic {
        share: f64,
        adder: Price,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Block {
    /// Upper end of the block in the month's kWh; `None` for the last.
    pub up_to: Option<Energy>,
    /// Months (1..=12) that it holds in.
    pub months: Vec<u32>,
    pub price: Price,
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

/// Energy that was imported on a day while a price held that is limited to a quantity a day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DayUse {
    pub day: chrono::NaiveDate,
    pub imported: Energy,
}

/// Use of the current billing month, needed for blocks and demand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MonthUse {
    /// First instant of the local billing month.
    pub month_start: Timestamp,
    pub imported: Energy,
    /// Imported today at prices that hold for a quantity a day.
    #[serde(default)]
    pub daily: Option<DayUse>,
    /// Highest window means so far.
    #[serde(flatten)]
    pub peaks: Peaks,
}

/// A price of one interval as known at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KnownPrice {
    pub price: Price,
    /// True where the hour was not published yet and the price was filled from known ones.
    pub estimated: bool,
}
