//! Connection point: limits, prices, demand charge, subscribed power, blocks, outages.

use super::{PerStep, is_zero, zero};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GridProblem {
    pub import_max_kw: PerStep,
    pub export_max_kw: PerStep,
    pub buy: Vec<f64>,
    pub sell: Vec<f64>,
    #[serde(default = "zero")]
    pub co2_kg_per_kwh: PerStep,
    #[serde(default)]
    pub demand_charge_per_kw: f64,
    #[serde(default)]
    pub peak_so_far_kw: f64,
    #[serde(default)]
    pub exclusive: bool,
    /// Superset: steps that belong to one metering window share a number; the demand charge is on the mean of a window.
    /// Absent: every step is its own window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand_window: Option<Vec<usize>>,
    /// Superset: energy already imported in the first window, kWh, and hours of it already past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_window: Option<FirstWindow>,
    /// Superset: extra worth of each kWh not imported.
    #[serde(default)]
    pub self_sufficiency_per_kwh: f64,
    /// Superset: monthly blocks on the energy imported over the horizon, cheapest first; price is added to `buy`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<BlockProblem>,
    /// Superset: subscribed power and the price of going beyond it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<CapacityProblem>,
    /// Superset: steps without a grid: import and export are 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outages: Vec<OutageProblem>,
    /// Superset: share of an imported kWh that counts as renewable, 0..=1.
    #[serde(default = "zero", skip_serializing_if = "is_zero")]
    pub renewable_share: PerStep,
}

impl GridProblem {
    /// Whether step `t` lies in an outage.
    pub fn is_out(&self, t: usize) -> bool {
        self.outages.iter().any(|o| (o.from_step..o.to_step).contains(&t))
    }
    /// Highest import in step `t`, kW; 0 in an outage, `None` beyond the end.
    pub fn import_limit(&self, t: usize) -> Option<f64> {
        self.import_max_kw.at(t).map(|kw| if self.is_out(t) { 0.0 } else { kw })
    }
    /// Highest export in step `t`, kW; 0 in an outage, `None` beyond the end.
    pub fn export_limit(&self, t: usize) -> Option<f64> {
        self.export_max_kw.at(t).map(|kw| if self.is_out(t) { 0.0 } else { kw })
    }
}

/// Capacity tariff: power above the subscribed one costs extra. Power is the mean of a metering window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CapacityProblem {
    pub subscribed_kw: f64,
    /// On the highest window mean above the subscription.
    #[serde(default)]
    pub overrun_per_kw: f64,
    /// On each kWh above the subscription.
    #[serde(default)]
    pub overrun_per_kwh: f64,
}

/// No grid from step `from_step` until before `to_step`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OutageProblem {
    pub from_step: usize,
    pub to_step: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FirstWindow {
    pub imported_kwh: f64,
    pub past_hours: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockProblem {
    /// kWh left in this block this month; `None` = no end.
    pub size_kwh: Option<f64>,
    pub price: f64,
}
