//! Exact books of what really flowed.

use super::charger::Stay;
use super::limits::LimitBook;
use crate::site::Id;
use crate::tariff::MeterInterval;
use std::collections::BTreeMap;

/// Energy of one component, kWh ≥ 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ComponentBook {
    pub energy_in: f64,
    pub energy_out: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoredBook {
    pub start_kwh: f64,
    pub end_kwh: f64,
}

/// Everything a run is judged by.
#[derive(Debug, Clone, PartialEq)]
pub struct Books {
    pub components: BTreeMap<Id, ComponentBook>,
    pub metered: Vec<MeterInterval>,
    /// Batteries (kWh stored), tanks (kWh of heat), and cars plugged in (kWh they got since plug-in).
    pub stored: BTreeMap<Id, StoredBook>,
    /// Stays of cars that are over, by charge point.
    pub stays: BTreeMap<Id, Vec<Stay>>,
    pub unserved_kwh: f64,
    pub discomfort_kh: f64,
    pub fuel_cost: f64,
    pub generator_starts: u32,
    pub generator_run_h: f64,
    /// `None` where a generator has no fuel curve.
    pub fuel_litres: Option<f64>,
    /// Grid minus components, plus what batteries gained and lost: zero but for rounding.
    pub balance_error_kwh: f64,
    /// Energy counters of the reference meter against its power readings, integrated.
    pub meter_against_integrated_percent: f64,
    pub limits: LimitBook,
}

impl Books {
    /// Energy that cars were promised and left without.
    pub fn ev_shortfall_kwh(&self) -> f64 {
        // an empty sum of floats is -0.0
        self.stays
            .values()
            .flatten()
            .map(Stay::missed_kwh)
            .fold(0.0, |a, b| a + b)
    }
}
