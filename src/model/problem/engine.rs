//! Generators and hydro power.

use super::one;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GensetProblem {
    pub id: String,
    pub min_kw: f64,
    pub max_kw: f64,
    pub fuel_cost_per_kwh: f64,
    #[serde(default)]
    pub co2_kg_per_kwh: f64,
    #[serde(default)]
    pub commitment: bool,
    #[serde(default)]
    pub no_load_cost_per_hour: f64,
    #[serde(default)]
    pub start_cost: f64,
    #[serde(default = "one")]
    pub min_up_steps: usize,
    #[serde(default = "one")]
    pub min_down_steps: usize,
    #[serde(default)]
    pub initial_on: bool,
    /// Superset: steps at the start during which the state is fixed by minimum up/down time already running.
    #[serde(default)]
    pub fixed_steps: usize,
    /// Superset: steps that share a number share one on/off decision (coarser commitment later in the horizon).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_blocks: Option<Vec<usize>>,
    /// Superset: fuel cost of each further kWh by power, in place of `fuel_cost_per_kwh`; the last segment ends at
    /// `max_kw`. Falling costs need whole numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub part_load: Vec<PartLoad>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PartLoad {
    pub up_to_kw: f64,
    pub fuel_cost_per_kwh: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HydroProblem {
    pub id: String,
    pub turbine_max_m3s: f64,
    pub kw_per_m3s: f64,
    pub volume_min_m3: f64,
    pub volume_max_m3: f64,
    pub volume_start_m3: f64,
    #[serde(default)]
    pub volume_end_min_m3: f64,
    pub inflow_m3s: Vec<f64>,
    #[serde(default)]
    pub min_release_m3s: f64,
    #[serde(default)]
    pub water_value_per_m3: f64,
}
