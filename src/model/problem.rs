//! A dispatch problem: plain data whose JSON is a superset of the case format `ems-case-1` (kW, kWh, hours, currency).
//!
//! Arrays have one value a step; where [`PerStep`] stands a plain number is allowed. All amounts are non-negative
//! magnitudes; direction stands in the name. See `docs/planning.md` for the mathematics.

use serde::{Deserialize, Serialize};

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
    /// Superset: nested circuits with a limit on the sum of their members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub circuits: Vec<CircuitProblem>,
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
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reserve {
    pub kwh: f64,
    pub cost_per_kwh_hour: f64,
}

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
}

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
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeatProblem {
    pub load_kw: Vec<f64>,
    pub unserved_cost_per_kwh: f64,
    #[serde(default = "yes")]
    pub dump_allowed: bool,
    #[serde(default)]
    pub chps: Vec<ChpProblem>,
    #[serde(default)]
    pub boilers: Vec<BoilerProblem>,
    #[serde(default)]
    pub heat_pumps: Vec<HeatPumpProblem>,
    #[serde(default)]
    pub tanks: Vec<TankProblem>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChpProblem {
    pub id: String,
    pub electric_max_kw: f64,
    pub heat_per_electric: f64,
    pub fuel_kwh_per_kwh_el: f64,
    pub fuel_price_per_kwh: f64,
    #[serde(default)]
    pub co2_kg_per_kwh_fuel: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoilerProblem {
    pub id: String,
    pub heat_max_kw: f64,
    pub efficiency: f64,
    pub fuel_price_per_kwh: f64,
    #[serde(default)]
    pub co2_kg_per_kwh_fuel: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeatPumpProblem {
    pub id: String,
    pub electric_max_kw: f64,
    pub cop: PerStep,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TankProblem {
    pub id: String,
    pub capacity_kwh: f64,
    pub start_kwh: f64,
    pub charge_max_kw: f64,
    pub discharge_max_kw: f64,
    #[serde(default)]
    pub loss_per_hour: f64,
    #[serde(default)]
    pub end_min_kwh: Option<f64>,
    /// Superset: worth of a kWh of heat left at the end.
    #[serde(default)]
    pub end_value_per_kwh: f64,
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
}
