//! The heat balance: CHPs, boilers, heat pumps, tanks, buildings.

use super::{PerStep, one, yes, zero};
use serde::{Deserialize, Serialize};

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
