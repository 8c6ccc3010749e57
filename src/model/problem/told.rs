//! What people told parts of the problem to do.

use super::Problem;
use serde::{Deserialize, Serialize};

/// Power that a person told a part of the problem, in the steps from 0 on. The plan keeps to it at a price above every wish.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToldProblem {
    pub id: String,
    /// kW drawn, as it was told, and what of that the part can do by itself (charge, presence); one value for each told step.
    pub asked_kw: Vec<f64>,
    pub power_kw: Vec<f64>,
    /// Time from the start of the horizon to the end of what was told, h.
    pub hours: f64,
    /// Cost of each kWh between nothing and what was told, and of each kWh beyond it or where nothing was told.
    pub short_cost_per_kwh: f64,
    pub beyond_cost_per_kwh: f64,
}

impl Problem {
    /// kW that a part was told to draw in step `t`; `None` where it is free.
    pub fn told_kw(&self, part: &str, t: usize) -> Option<f64> {
        let told = self.told.iter().find(|told| told.id == part)?;
        told.power_kw.get(t).copied()
    }
}
