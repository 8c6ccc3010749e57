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
    /// Superset: buildings whose indoor temperature is part of the plan; they draw heat besides `load_kw`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buildings: Vec<BuildingProblem>,
}

/// One thermal mass between heating and outdoors (1R1C): `C·dT/dt = heat + gain − U·(T − outdoor)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildingProblem {
    pub id: String,
    /// Heat capacity `C` and heat loss `U`.
    pub kwh_per_k: f64,
    pub loss_kw_per_k: f64,
    /// Indoor temperature before step 0, °C.
    pub start_c: f64,
    pub outdoor_c: PerStep,
    /// Heat from sun, people and devices, kW.
    #[serde(default = "zero")]
    pub gain_kw: PerStep,
    /// Most heat that radiators or floor can give, kW.
    pub heat_max_kw: f64,
    /// Comfort band, °C, and the cost of each kelvin and hour outside it.
    pub comfort_min_c: PerStep,
    pub comfort_max_c: PerStep,
    pub cold_cost_per_k_hour: f64,
    pub warm_cost_per_k_hour: f64,
    /// Worth of a kelvin at the end of the horizon.
    #[serde(default)]
    pub end_value_per_k: f64,
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
    /// Superset: on or off, with a lowest power, fuel of running empty, start cost and minimum times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switching: Option<ChpSwitching>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChpSwitching {
    #[serde(default)]
    pub electric_min_kw: f64,
    /// Fuel while running, besides `fuel_kwh_per_kwh_el`, kW.
    #[serde(default)]
    pub no_load_fuel_kw: f64,
    #[serde(default)]
    pub start_cost: f64,
    #[serde(default = "one")]
    pub min_up_steps: usize,
    #[serde(default = "one")]
    pub min_down_steps: usize,
    #[serde(default)]
    pub initial_on: bool,
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
