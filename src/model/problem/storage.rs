//! Sun and batteries.

use super::yes;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PvProblem {
    pub id: String,
    pub available_kw: Vec<f64>,
    #[serde(default = "yes")]
    pub curtailable: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatteryProblem {
    pub id: String,
    #[serde(default)]
    pub capacity_kwh: f64,
    pub soc_min_kwh: f64,
    pub soc_max_kwh: f64,
    pub soc_start_kwh: f64,
    pub charge_max_kw: f64,
    pub discharge_max_kw: f64,
    pub charge_eff: f64,
    pub discharge_eff: f64,
    #[serde(default)]
    pub loss_per_hour: f64,
    #[serde(default)]
    pub wear_cost_per_kwh: f64,
    #[serde(default)]
    pub end_value_per_kwh: f64,
    #[serde(default)]
    pub soc_end_kwh: Option<f64>,
    #[serde(default)]
    pub soc_end_min_kwh: Option<f64>,
    #[serde(default)]
    pub exclusive: bool,
    /// Superset: constant loss, kW.
    #[serde(default)]
    pub standby_kw: f64,
    /// Superset: barred from charging beyond the surplus of PV over load in a step.
    #[serde(default)]
    pub no_grid_charge: bool,
    /// Superset: barred from discharging beyond the local load in a step.
    #[serde(default)]
    pub no_grid_discharge: bool,
    /// Superset: soft floor and its price per kWh and hour below it (reserve).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve: Option<Reserve>,
    /// Superset: cost of resting above a level (calendar ageing at high charge); several add up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dwell: Vec<Dwell>,
    /// Superset: largest change of net power from one step to the next, kW, and the power before step 0 (charging
    /// positive; absent: the first step is free).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp_kw: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_start_kw: Option<f64>,
    /// Superset: wished states at the end of steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub goals: Vec<SocGoal>,
    /// Superset: above a level a kWh left at the end is worth less than `end_value_per_kwh`; worths must fall.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub end_values: Vec<EndValue>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Dwell {
    pub above_kwh: f64,
    pub cost_per_kwh_hour: f64,
}

/// State wished at the end of step `step`; missing and excess are priced a kWh.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SocGoal {
    pub step: usize,
    pub kwh: f64,
    pub missing_cost_per_kwh: f64,
    #[serde(default)]
    pub excess_cost_per_kwh: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EndValue {
    pub above_kwh: f64,
    pub value_per_kwh: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reserve {
    pub kwh: f64,
    pub cost_per_kwh_hour: f64,
}
