//! Loads that may be shed, that run once, that may pause.

use super::one;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SheddableProblem {
    pub id: String,
    pub load_kw: Vec<f64>,
    /// Cost of each kWh not served.
    pub shed_cost_per_kwh: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShiftableProblem {
    pub id: String,
    pub power_kw: f64,
    pub duration_hours: f64,
    /// First step in which it may run, and first in which it must be over.
    pub earliest_step: usize,
    pub latest_step: usize,
    /// Cost of each kWh not run by then.
    pub missed_cost_per_kwh: f64,
    /// Already running: hours still to run from step 0 on, without a pause.
    #[serde(default)]
    pub running_hours: f64,
    /// Superset: the run as a sequence of powers, in place of `power_kw` and `duration_hours`. While running, only
    /// what is left of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// Superset: starts only after this run-once load is over (dryer after washer).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    pub power_kw: f64,
    pub hours: f64,
}

impl ShiftableProblem {
    /// The run from its begin on; what is left of it where it is on already.
    pub fn run(&self) -> Vec<Phase> {
        let running = self.running_hours > 0.0;
        let hours = if running {
            self.running_hours
        } else {
            self.duration_hours
        };
        match self.phases.is_empty() {
            true => vec![Phase {
                power_kw: self.power_kw,
                hours,
            }],
            false => self.phases.clone(),
        }
    }
    /// kWh of the whole run.
    pub fn energy_kwh(&self) -> f64 {
        self.run().iter().map(|p| p.power_kw * p.hours).sum()
    }
}

/// A load that needs an amount of energy inside a window and may pause (pump, pool, boiler rod).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeferrableProblem {
    pub id: String,
    pub power_kw: f64,
    pub energy_kwh: f64,
    /// First step in which it may run, and first in which it may no more.
    pub earliest_step: usize,
    pub latest_step: usize,
    /// Cost of each kWh not run by then.
    pub missed_cost_per_kwh: f64,
    /// Lowest power while on.
    #[serde(default)]
    pub min_kw: f64,
    #[serde(default)]
    pub start_cost: f64,
    #[serde(default = "one")]
    pub min_on_steps: usize,
    #[serde(default = "one")]
    pub min_off_steps: usize,
    #[serde(default)]
    pub initial_on: bool,
}

impl DeferrableProblem {
    /// Whether its on and off are decisions of their own (whole numbers).
    pub fn switches(&self) -> bool {
        self.min_kw > 0.0 || self.start_cost > 0.0 || self.min_on_steps > 1 || self.min_off_steps > 1
    }
}
