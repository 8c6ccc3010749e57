//! What concerns the whole site: energy kept for outages, shares of the consumption, circuits.

use serde::{Deserialize, Serialize};

/// Soft floor on what all batteries can deliver (above their lowest state), by step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LifelineProblem {
    /// kWh (AC) that the critical load will need in the hours after the end of each step.
    pub need_kwh: Vec<f64>,
    pub cost_per_kwh_hour: f64,
}

/// A share of the consumption over the horizon, 0..=1, and the price of each kWh that misses it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ShareWish {
    pub share: f64,
    pub missing_cost_per_kwh: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CircuitProblem {
    pub id: String,
    /// Limit on net power drawn through the circuit.
    pub limit_kw: f64,
    /// Ids of members, of any kind (`load` = the inflexible load).
    pub members: Vec<String>,
    /// Share of each member that counts (one phase of three: 1/3); absent = all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<f64>,
}
