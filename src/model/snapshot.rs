//! Readings of one cycle, frozen.

use crate::reading::Reading;
use crate::site::Id;
use crate::time::Timestamp;
use crate::units::{Energy, Power, Soc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is measured of a component. Each has one unit; [`Quantity::series`] gives its name in telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// kW, passive sign.
    ActivePower,
    ActivePowerL1,
    ActivePowerL2,
    ActivePowerL3,
    /// A, signed like the power where the device says so, else magnitude.
    CurrentL1,
    CurrentL2,
    CurrentL3,
    /// V
    VoltageL1,
    VoltageL2,
    VoltageL3,
    /// Hz
    Frequency,
    /// kWh counter: into the component (import, charged, consumed). Only rises.
    EnergyImport,
    /// kWh counter: out of the component (export, discharged, produced). Only rises.
    EnergyExport,
    /// 0..=1
    StateOfCharge,
    /// IEC 61851: 0 = A (no car), 1 = B (connected), 2 = C (charging), 3 = D, 4 = E, 5 = F.
    ChargePointState,
    /// A, the limit in force at the charger.
    CurrentLimit,
    /// kWh since the car plugged in.
    SessionEnergy,
    /// °C
    TankTemperature,
    RoomTemperature,
    OutdoorTemperature,
    /// kW: the PV limit, heat-pump or generator setpoint in force as the device shows it.
    PowerLimit,
    /// 1 = on/running, 0 = off.
    Running,
}

impl Quantity {
    /// `<noun>_<unit>` of the series name and the factor from the core's unit to the series' base unit.
    pub fn series(self) -> (&'static str, f64) {
        match self {
            Self::ActivePower => ("active_power_watts", 1e3),
            Self::ActivePowerL1 => ("active_power_l1_watts", 1e3),
            Self::ActivePowerL2 => ("active_power_l2_watts", 1e3),
            Self::ActivePowerL3 => ("active_power_l3_watts", 1e3),
            Self::CurrentL1 => ("current_l1_amperes", 1.0),
            Self::CurrentL2 => ("current_l2_amperes", 1.0),
            Self::CurrentL3 => ("current_l3_amperes", 1.0),
            Self::VoltageL1 => ("voltage_l1_volts", 1.0),
            Self::VoltageL2 => ("voltage_l2_volts", 1.0),
            Self::VoltageL3 => ("voltage_l3_volts", 1.0),
            Self::Frequency => ("frequency_hertz", 1.0),
            Self::EnergyImport => ("energy_import_watthours_total", 1e3),
            Self::EnergyExport => ("energy_export_watthours_total", 1e3),
            Self::StateOfCharge => ("state_of_charge_ratio", 1.0),
            Self::ChargePointState => ("state", 1.0),
            Self::CurrentLimit => ("current_limit_amperes", 1.0),
            Self::SessionEnergy => ("session_energy_watthours", 1e3),
            Self::TankTemperature => ("tank_temperature_celsius", 1.0),
            Self::RoomTemperature => ("room_temperature_celsius", 1.0),
            Self::OutdoorTemperature => ("outdoor_temperature_celsius", 1.0),
            Self::PowerLimit => ("power_limit_watts", 1e3),
            Self::Running => ("running", 1.0),
        }
    }
}

/// One value of one component as it came from the edge: engineering units, passive sign, device quirks already removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    pub component: Id,
    pub quantity: Quantity,
    pub reading: Reading<f64>,
}

/// How a device is doing, for people and for the ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceHealth {
    pub device: Id,
    pub components: Vec<Id>,
    pub online: bool,
    /// Whether identity was confirmed; control needs it (or the owner's word).
    pub identity: IdentityStatus,
    /// Last complete answer.
    pub last_answer: Option<Timestamp>,
    pub answer_ms: Option<f64>,
    pub requests: u64,
    pub failures: u64,
    /// Last trouble, in English, for the page and the log.
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityStatus {
    Confirmed,
    Unchecked,
    Mismatch,
}

/// Everything the field reported in one cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    pub measurements: Vec<Measurement>,
    pub devices: Vec<DeviceHealth>,
}

/// The process image of one cycle: immutable, what all decisions of this cycle are made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub at: Timestamp,
    pub components: BTreeMap<Id, BTreeMap<Quantity, Reading<f64>>>,
    /// Grid meter power, import +; on an island the grid-forming battery's view (zero exchange) is not shown here.
    pub grid: Option<Reading<Power>>,
    /// Grid − everything metered: the load that no device measures; `None` where it cannot be computed.
    pub residual: Option<Reading<Power>>,
    pub devices: Vec<DeviceHealth>,
    /// What plausibility found wrong in this cycle, for the log and the page.
    pub doubts: Vec<Doubt>,
}

/// A value that was refused, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Doubt {
    pub component: Id,
    pub quantity: Quantity,
    pub why: String,
}

impl Snapshot {
    pub fn reading(&self, component: &Id, quantity: Quantity) -> Option<&Reading<f64>> {
        self.components.get(component)?.get(&quantity)
    }
    /// A value that may be acted on.
    pub fn usable(&self, component: &Id, quantity: Quantity) -> Option<f64> {
        self.reading(component, quantity)?.usable()
    }
    pub fn power(&self, component: &Id) -> Option<Power> {
        self.usable(component, Quantity::ActivePower).map(Power::kw)
    }
    pub fn soc(&self, component: &Id) -> Option<Soc> {
        self.usable(component, Quantity::StateOfCharge).map(Soc::ratio)
    }
    pub fn session_energy(&self, component: &Id) -> Option<Energy> {
        self.usable(component, Quantity::SessionEnergy).map(Energy::kwh)
    }
    /// A car is plugged in (IEC 61851 states B, C, D).
    pub fn plugged(&self, component: &Id) -> Option<bool> {
        self.usable(component, Quantity::ChargePointState)
            .map(|s| (1.0..=3.0).contains(&s))
    }
}
