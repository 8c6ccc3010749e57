//! A measured value is reachable only through its quality and its age.

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

use crate::time::Timestamp;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

/// What a value is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Read from the device and believable.
    Good,
    /// Computed from others (residual load, integrated energy).
    Derived,
    /// The last good value in place of one that is not believed, for a poll or two: to act on, never to learn from.
    Held,
    /// Was good, but too old to act on.
    Stale,
    /// The device says "not implemented", or does not answer.
    Missing,
    /// Read, but not believable (range, spike, frozen, sign).
    Invalid,
}

/// A value, when it was measured, and its quality.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reading<T> {
    value: Option<T>,
    quality: Quality,
    at: Timestamp,
}

impl<T: Copy> Reading<T> {
    pub fn good(value: T, at: Timestamp) -> Self {
        Self {
            value: Some(value),
            quality: Quality::Good,
            at,
        }
    }
    pub fn derived(value: T, at: Timestamp) -> Self {
        Self {
            value: Some(value),
            quality: Quality::Derived,
            at,
        }
    }
    /// The device gave no value at `at`.
    pub fn missing(at: Timestamp) -> Self {
        Self {
            value: None,
            quality: Quality::Missing,
            at,
        }
    }
    /// A value that must not be acted on; it is dropped here so that nobody can.
    pub fn invalid(at: Timestamp) -> Self {
        Self {
            value: None,
            quality: Quality::Invalid,
            at,
        }
    }
    /// The value, if it is good enough to act on.
    pub fn usable(&self) -> Option<T> {
        match self.quality {
            Quality::Good | Quality::Derived | Quality::Held => self.value,
            Quality::Stale | Quality::Missing | Quality::Invalid => None,
        }
    }
    /// The last value known, however old: for display only.
    pub fn last_known(&self) -> Option<T> {
        self.value
    }
    pub fn quality(&self) -> Quality {
        self.quality
    }
    pub fn at(&self) -> Timestamp {
        self.at
    }
    pub fn age(&self, now: Timestamp) -> TimeDelta {
        now - self.at
    }
    /// The same reading as seen at `now`: stale when older than `max_age`.
    pub fn aged(self, now: Timestamp, max_age: TimeDelta) -> Self {
        match self.quality {
            Quality::Good | Quality::Derived | Quality::Held if self.age(now) > max_age => Self {
                quality: Quality::Stale,
                ..self
            },
            _ => self,
        }
    }
    /// The same reading, as old as before after the clock jumped by `step`.
    pub fn moved(self, step: TimeDelta) -> Self {
        Self {
            at: self.at + step,
            ..self
        }
    }
    /// The same value, held over in place of one that is not believed.
    pub fn held(self) -> Self {
        match self.quality {
            Quality::Good | Quality::Derived => Self {
                quality: Quality::Held,
                ..self
            },
            _ => self,
        }
    }
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reading<U> {
        Reading {
            value: self.value.map(f),
            quality: self.quality,
            at: self.at,
        }
    }
}

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
    /// Reads the name used in files: `active_power`, `state_of_charge`, …
    pub fn parse(name: &str) -> Option<Self> {
        use serde::de::IntoDeserializer;
        let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = name.into_deserializer();
        Self::deserialize(text).ok()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_value_is_shown_but_never_used() {
        let t0 = chrono::DateTime::UNIX_EPOCH;
        let r = Reading::good(3.2, t0).aged(t0 + TimeDelta::seconds(4), TimeDelta::seconds(3));
        assert_eq!(
            (r.usable(), r.last_known(), r.quality()),
            (None, Some(3.2), Quality::Stale)
        );
    }
}
