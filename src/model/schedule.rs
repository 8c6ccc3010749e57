//! The planner's answer: power per step and component, what stored energy is worth, and why.

use super::explanation::{Alternative, Compared};
use super::problem::Problem;
use crate::site::Id;
use crate::time::{TimeGrid, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Solution of one [`Problem`] in its own terms (kW ≥ 0, one value a step): the `plan` of `solve --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Solution {
    pub status: SolveStatus,
    /// Money of the plan, recomputed from the plan itself; costs of broken wishes are not in it.
    pub objective: f64,
    /// Relative distance to the proven bound.
    pub gap: f64,
    pub solver: String,
    pub violations: Vec<Violation>,
    pub build_ms: f64,
    pub solve_ms: f64,
    pub plan: PlanValues,
    /// `None` where the solver gave no duals: absent, not zero.
    pub duals: Option<Duals>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SolveStatus {
    Optimal,
    Feasible,
    /// A hard wish could not be met; see `violations`.
    Relaxed,
}

/// A wish that was not met, and its size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    pub name: String,
    pub component: String,
    pub amount: f64,
    pub unit: String,
    pub cost: f64,
}

/// INTERFACE.md, "Dispatch cases": parts a case lacks are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanValues {
    pub import_kw: Vec<f64>,
    pub export_kw: Vec<f64>,
    pub unserved_kw: Vec<f64>,
    pub spill_kw: Vec<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub pv_kw: BTreeMap<String, Vec<f64>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub batteries: BTreeMap<String, StoragePlan>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub evs: BTreeMap<String, EvPlan>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub gensets: BTreeMap<String, GensetPlan>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heat: Option<HeatPlan>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub hydro: BTreeMap<String, HydroPlan>,
    /// Superset: power not served by sheddable load.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub shed_kw: BTreeMap<String, Vec<f64>>,
    /// Superset: power of run-once loads.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub shiftable_kw: BTreeMap<String, Vec<f64>>,
    /// Superset: deferrable loads.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub deferrable: BTreeMap<String, ElectricPlan>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoragePlan {
    pub charge_kw: Vec<f64>,
    pub discharge_kw: Vec<f64>,
    /// At the end of each step.
    pub energy_kwh: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvPlan {
    pub charge_kw: Vec<f64>,
    /// Of the first stay.
    pub shortfall_kwh: f64,
    /// Superset: where the car can discharge.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub discharge_kw: Option<Vec<f64>>,
    /// Superset: energy beyond the need at the end of the first stay, where the car can take any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub extra_kwh: Option<f64>,
    /// Superset: later stays of the same car.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub later: Vec<StayPlan>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StayPlan {
    pub shortfall_kwh: f64,
    pub extra_kwh: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GensetPlan {
    pub power_kw: Vec<f64>,
    pub on: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeatPlan {
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub chps: BTreeMap<String, ElectricPlan>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub boilers: BTreeMap<String, BoilerPlan>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub heat_pumps: BTreeMap<String, ElectricPlan>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub tanks: BTreeMap<String, StoragePlan>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub buildings: BTreeMap<String, BuildingPlan>,
    pub unserved_kw: Vec<f64>,
    pub dump_kw: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ElectricPlan {
    pub electric_kw: Vec<f64>,
    /// Superset: 0 or 1 by step, where on and off are decisions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub on: Option<Vec<f64>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildingPlan {
    pub heat_kw: Vec<f64>,
    /// At the end of each step, °C.
    pub indoor_c: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoilerPlan {
    pub heat_kw: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HydroPlan {
    pub turbine_m3s: Vec<f64>,
    pub spill_m3s: Vec<f64>,
    pub volume_m3: Vec<f64>,
}

/// Shadow prices, money per kWh (dual / step length), one a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Duals {
    /// Price of electricity on the site's bus.
    pub bus: Vec<f64>,
    /// Worth of one more kWh stored at the end of step t, by battery id.
    pub storage: BTreeMap<String, Vec<f64>>,
    /// Worth of one more kWh of heat in the tank, by tank id.
    pub tanks: BTreeMap<String, Vec<f64>>,
    /// Worth of one more kWh delivered into the car.
    pub evs: BTreeMap<String, f64>,
    /// Money per kW of the demand peak's binding, 0 where it does not bind.
    pub peak: f64,
    /// What binding circuits add to the price of the bus, by part of the problem behind them; below zero where they hold
    /// back what is fed through them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<String, Vec<f64>>,
    /// What wishes of the whole site (shares, carbon cap) add to the price of an imported kWh, by step; empty without such.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wishes: Vec<f64>,
}

/// Highest window mean that the plan pays for from the beginning of the next billing month on, kW.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NextPeak {
    pub from: Timestamp,
    pub kw: f64,
}

/// A checked plan that may be dispatched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    pub id: u64,
    pub made_at: Timestamp,
    pub grid: TimeGrid,
    pub solution: Solution,
    /// Per component: power by step, passive sign, kW.
    pub power_kw: BTreeMap<Id, Vec<f64>>,
    /// Per storage: worth of one more stored kWh by step; absent where there are no duals.
    pub marginal_value: BTreeMap<Id, Vec<f64>>,
    /// Highest window mean of import the plan pays for, kW; dispatch keeps below it. `None` where power has no price.
    pub peak_kw: Option<f64>,
    /// The same of a billing month that begins within the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_peak: Option<NextPeak>,
    /// Import and export prices the plan was made with, per step.
    pub buy: Vec<Option<f64>>,
    pub sell: Vec<Option<f64>>,
    /// Steps whose price was estimated.
    pub price_estimated: Vec<bool>,
    /// Forecast mean of uncontrolled load and available PV, kW, for "plan against actual".
    pub load_kw: Vec<f64>,
    pub pv_kw: Vec<f64>,
    /// Price of one more kWh behind limited circuits, by component; the others pay the price of the bus.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_price: BTreeMap<Id, Vec<f64>>,
    /// Steps whose price on the bus is one of several: it holds for more or for less use, not for both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub price_one_sided: Vec<bool>,
    /// What and why, per component and step.
    pub why: BTreeMap<Id, Vec<Why>>,
    /// Why this plan was made.
    pub trigger: Trigger,
    /// The independent checker's word.
    pub check: CheckReport,
    /// What was solved, for questions about it while the plan is in force; not kept.
    #[serde(skip)]
    pub placed: Option<Arc<PlacedProblem>>,
}

/// Explanation of one component in one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Why {
    pub reason: super::reason::Reason,
    /// What binds: `import limit`, `circuit NAME`, `charge power`, `full`, `empty`, `reserve`, `peak`, …
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub binding: Option<String>,
    /// The other step that decided: where the energy is used, refilled or cheaper.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub compared: Option<Compared>,
    /// Departure, deadline, end of a minimum time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Timestamp>,
    /// Solved exactly for the current interval, a bound for later ones where the prices give one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub alternative: Option<Alternative>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    pub ok: bool,
    pub max_residual: f64,
    /// Cost as recomputed by the checker.
    pub cost: f64,
    /// What does not hold, by name, place and size.
    pub faults: Vec<String>,
}

/// What made a plan necessary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    Start,
    Interval,
    CarPlugged,
    CarGone,
    WishChanged,
    PricesArrived,
    LimitChanged,
    Deviation,
    OnRequest,
    /// The clock jumped.
    ClockSet,
}

/// A problem together with the grid it was built on; what `plan` hands to `check`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlacedProblem {
    pub grid: TimeGrid,
    pub problem: Problem,
}
