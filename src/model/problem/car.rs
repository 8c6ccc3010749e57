//! Charge points: stays, needs, energy that is given back.

use super::{PerStep, nothing, yes};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvProblem {
    pub id: String,
    pub arrive_step: usize,
    pub depart_step: usize,
    pub energy_needed_kwh: f64,
    pub charge_max_kw: f64,
    #[serde(default)]
    pub charge_min_kw: f64,
    pub charge_eff: f64,
    pub shortfall_cost_per_kwh: f64,
    /// Superset: must draw at full power while it needs energy (mode fast).
    #[serde(default)]
    pub asap: bool,
    /// Superset: worth of each kWh up to the need, when the need is only a wish (mode surplus); shortfall then costs this.
    #[serde(default)]
    pub surplus_only: bool,
    /// Superset: from this step on each kWh charged is worth `late_cost_per_kwh` less: the car may be gone by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_step: Option<usize>,
    #[serde(default)]
    pub late_cost_per_kwh: f64,
    /// Superset: power that the car demands while it is there (minimum power while demanded), and the cost of each kWh
    /// below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand_kw: Option<PerStep>,
    #[serde(default, skip_serializing_if = "nothing")]
    pub demand_missed_cost_per_kwh: f64,
    /// Superset: energy that the car can take beyond its need, and its worth a kWh at the last departure. Between
    /// stays it is carried over.
    #[serde(default, skip_serializing_if = "nothing")]
    pub extra_max_kwh: f64,
    #[serde(default, skip_serializing_if = "nothing")]
    pub extra_value_per_kwh: f64,
    /// Superset: the same car back again, in order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub later: Vec<StayProblem>,
    /// Superset: the car can discharge (V2H, V2G).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<CarStore>,
}

/// A later stay of the same car.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StayProblem {
    pub arrive_step: usize,
    pub depart_step: usize,
    pub energy_needed_kwh: f64,
    pub shortfall_cost_per_kwh: f64,
}

/// A car's battery as far as the site may use it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CarStore {
    pub capacity_kwh: f64,
    /// At each arrival, before what was carried over.
    pub at_arrival_kwh: f64,
    /// Never discharged below.
    pub min_kwh: f64,
    pub discharge_max_kw: f64,
    pub discharge_eff: f64,
    /// On each kWh discharged (AC).
    #[serde(default)]
    pub wear_cost_per_kwh: f64,
    /// V2H: covers local consumption only.
    #[serde(default)]
    pub no_grid_discharge: bool,
    /// Never charges and discharges at once.
    #[serde(default = "yes")]
    pub exclusive: bool,
}
