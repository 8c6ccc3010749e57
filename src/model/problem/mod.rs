//! A dispatch problem: plain data whose JSON is a superset of the case format `ems-case-1` (kW, kWh, hours, currency).
//!
//! Arrays have one value a step; where [`PerStep`] stands a plain number is allowed. All amounts are non-negative
//! magnitudes; direction stands in the name. See `docs/planning.md` for the mathematics.

mod car;
mod engine;
mod grid;
mod heat;
mod load;
mod site;
mod storage;
mod told;

use serde::{Deserialize, Serialize};

pub use car::*;
pub use engine::*;
pub use grid::*;
pub use heat::*;
pub use load::*;
pub use site::*;
pub use storage::*;
pub use told::*;

/// One value for all steps, or one for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PerStep {
    All(f64),
    Each(Vec<f64>),
}

impl PerStep {
    /// Value of step `t`; `None` beyond the end.
    pub fn at(&self, t: usize) -> Option<f64> {
        match self {
            Self::All(v) => Some(*v),
            Self::Each(v) => v.get(t).copied(),
        }
    }
}

fn zero() -> PerStep {
    PerStep::All(0.0)
}
fn is_zero(v: &PerStep) -> bool {
    *v == PerStep::All(0.0)
}
fn nothing(v: &f64) -> bool {
    *v == 0.0
}
fn yes() -> bool {
    true
}
fn one() -> usize {
    1
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    #[serde(default)]
    pub schema: String,
    pub id: String,
    #[serde(default)]
    pub title: String,
    /// `LP` or `MILP`; informative.
    #[serde(default)]
    pub kind: String,
    pub steps: usize,
    /// Length of each step in hours (superset: may differ by step).
    pub step_hours: PerStep,
    pub load_kw: Vec<f64>,
    pub unserved_cost_per_kwh: f64,
    #[serde(default)]
    pub spill_cost_per_kwh: Option<f64>,
    #[serde(default)]
    pub co2_price_per_kg: f64,
    #[serde(default)]
    pub co2_cap_kg: Option<f64>,
    #[serde(default)]
    pub grid: Option<GridProblem>,
    #[serde(default)]
    pub pv: Vec<PvProblem>,
    #[serde(default)]
    pub batteries: Vec<BatteryProblem>,
    #[serde(default)]
    pub evs: Vec<EvProblem>,
    #[serde(default)]
    pub gensets: Vec<GensetProblem>,
    #[serde(default)]
    pub heat: Option<HeatProblem>,
    #[serde(default)]
    pub hydro: Vec<HydroProblem>,
    /// Superset: loads that may be shed at a cost, besides `load_kw`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sheddable: Vec<SheddableProblem>,
    /// Superset: run-once loads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shiftable: Vec<ShiftableProblem>,
    /// Superset: loads that need an amount of energy inside a window and may pause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deferrable: Vec<DeferrableProblem>,
    /// Superset: energy that the batteries should hold for the critical load of the hours to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifeline: Option<LifelineProblem>,
    /// Superset: share of the consumption that should not be imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_sufficiency: Option<ShareWish>,
    /// Superset: share of the consumption that should be renewable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewable: Option<ShareWish>,
    /// Superset: nested circuits with a limit on the sum of their members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub circuits: Vec<CircuitProblem>,
    /// Superset: powers that people told parts of the problem for the first steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<ToldProblem>,
    /// Superset: price a kW or kWh beyond a limit that reality may already have broken (elastic limits). Absent: limits
    /// are hard, as in `ems-case-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elastic: Option<Elastic>,
    /// Superset: taste, far below money; absent in `solve`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taste: Option<Taste>,
    /// What reference solutions say; kept as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<serde_json::Value>,
}

/// Prices of breaking what should hold, per kWh (docs/planning.md, tiers).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Elastic {
    /// Connection point, circuit and fuse limits.
    pub limit_per_kwh: f64,
    /// State of charge outside its band, per kWh and step.
    pub soc_per_kwh: f64,
}

/// Preferences that may never cost real money.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Taste {
    /// Added wear on battery movement, per kWh.
    pub wear_per_kwh: f64,
    /// Earlier is better: cost per kWh of EV charging and step of delay.
    pub early_per_kwh_step: f64,
    /// Closeness to the plan in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stick: Option<Stick>,
}

/// Cost of moving away from what another plan meant, per kWh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stick {
    /// In the first step, and in later ones.
    pub first_per_kwh: f64,
    pub later_per_kwh: f64,
    /// kW drawn by a part of the problem in each step; null where nothing was meant.
    pub power_kw: std::collections::BTreeMap<String, Vec<Option<f64>>>,
}
