//! The money of a stretch of time: what it cost, part by part, and what it would have cost with storage at rest.
//!
//! One account for everybody: the report of a simulated day, the page, the metrics, the history and the API show these
//! parts and their [`Costs::total`].

use crate::site::Id;
use crate::tariff::Peaks;
use crate::time::Timestamp;
use crate::units::{Energy, Power};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Parts of `cost` in the site's currency. `stored` is the worth of the change of stored energy; it is subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Import minus export, by tariff.
    pub energy: f64,
    /// Demand charge added in this time.
    pub demand: f64,
    /// Fuel, running hours and starts of generators.
    pub fuel: f64,
    /// Wear of batteries.
    pub wear: f64,
    /// CO₂ at the site's carbon price.
    pub carbon: f64,
    pub stored: f64,
}

impl Costs {
    pub const NOTHING: Self = Self {
        energy: 0.0,
        demand: 0.0,
        fuel: 0.0,
        wear: 0.0,
        carbon: 0.0,
        stored: 0.0,
    };

    pub fn total(&self) -> f64 {
        self.energy + self.demand + self.fuel + self.wear + self.carbon - self.stored
    }
}

/// Running books of the local day, from what the site's meters show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DayBooks {
    /// Local midnight.
    pub start: Timestamp,
    /// First instant that is in the books: later than `start` on the day on which the controller began.
    #[serde(default)]
    pub counted_from: Option<Timestamp>,
    #[serde(default = "nothing")]
    pub costs: Costs,
    /// The same with the batteries at rest, and on an island with the generators following the load; cars and heat as
    /// they were.
    #[serde(default = "nothing")]
    pub baseline: Costs,
    pub imported: Energy,
    pub exported: Energy,
    /// Of imported energy and of fuel, kg.
    pub co2_kg: f64,
    /// Stored energy at the first and at the latest look, by component.
    #[serde(default)]
    pub stored: BTreeMap<Id, StoredEnergy>,
    #[serde(default)]
    pub generators: BTreeMap<Id, GeneratorDay>,
    /// Price that a stored kWh is valued at, before losses; `None` where none is known.
    #[serde(default)]
    pub stored_price: Option<f64>,
    #[serde(default)]
    pub gap: Gap,
    /// Lowest peak that a plan of this day meant to keep.
    #[serde(default)]
    pub kept_peak: Option<KeptPeak>,
    /// The metering window that broke it last.
    #[serde(default)]
    pub missed_peak: Option<MissedPeak>,
}

/// Highest window mean of import that a plan meant to keep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KeptPeak {
    pub peak: Power,
    /// When that plan was made.
    pub said_at: Timestamp,
}

/// A metering window whose mean import rose above what the plan meant to keep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MissedPeak {
    pub kept: KeptPeak,
    /// Start of the window, and its mean.
    pub window: Timestamp,
    pub reached: Power,
    /// Import of the window as the plan in force at its end expected it; `None` where no plan was in force.
    pub planned: Option<Power>,
}

fn nothing() -> Costs {
    Costs::NOTHING
}

impl DayBooks {
    pub fn new(start: Timestamp, counted_from: Timestamp) -> Self {
        Self {
            start,
            counted_from: Some(counted_from),
            costs: Costs::NOTHING,
            baseline: Costs::NOTHING,
            imported: Energy::ZERO,
            exported: Energy::ZERO,
            co2_kg: 0.0,
            stored: BTreeMap::new(),
            generators: BTreeMap::new(),
            stored_price: None,
            gap: Gap::default(),
            kept_peak: None,
            missed_peak: None,
        }
    }

    /// Money less than the baseline; negative where it was more.
    pub fn saved(&self) -> f64 {
        self.baseline.total() - self.costs.total()
    }
}

/// kWh in a battery, kWh of heat in a tank, or kWh that the car that is plugged in has got since it came.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StoredEnergy {
    pub start_kwh: f64,
    pub now_kwh: f64,
}

impl StoredEnergy {
    pub fn change(&self) -> f64 {
        self.now_kwh - self.start_kwh
    }
}

/// What a generator did since midnight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GeneratorDay {
    pub energy_kwh: f64,
    pub run_h: f64,
    pub starts: u32,
    pub cost: f64,
    /// Litres burnt, as far as the site's fuel curve tells; `None` where it has none, or had none when the day began.
    #[serde(default)]
    pub litres: Option<f64>,
    pub running: bool,
}

/// Time that is not in the books because a value was unknown or the controller was off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
pub struct Gap {
    /// Seconds of today.
    pub seconds: f64,
    /// Since when nothing is counted; `None` while all is.
    pub since: Option<Timestamp>,
    /// What is unknown.
    pub why: Option<Unknown>,
}

impl Gap {
    /// The stretch of `dt` that ends at `now` is not counted because of `missing`, or it is.
    pub fn note(&mut self, missing: Option<Unknown>, dt: TimeDelta, now: Timestamp) {
        self.why = missing;
        if missing.is_none() {
            self.since = None;
            return;
        }
        self.seconds += dt.as_seconds_f64();
        self.since.get_or_insert(now - dt);
    }
}

/// The value without which money cannot be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// Power at the connection point.
    Grid,
    Price,
    /// Power of a generator.
    Generator,
}

/// What the month's demand charge would be counted on with the batteries at rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineUse {
    /// Imported in the current metering window.
    pub window: Energy,
    /// Highest window means of the month.
    #[serde(flatten)]
    pub peaks: Peaks,
    /// Generators of an island would be running.
    pub running: bool,
}
