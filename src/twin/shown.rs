//! What a device shows of quantities that the plant's physics do not have: something plausible for a healthy device.

use crate::profile::Point;

/// Words of a state that a healthy, idle device is in, best first.
const HEALTHY: [&str; 12] = [
    "ok",
    "normal",
    "running",
    "run",
    "self_consumption",
    "remote",
    "auto",
    "on",
    "enabled",
    "ready",
    "none",
    "idle",
];

/// A value in the point's unit.
pub fn plausible(p: &Point) -> f64 {
    let value = by_name(&p.name).unwrap_or_else(|| by_unit(&p.unit));
    value.clamp(p.min.unwrap_or(f64::NEG_INFINITY), p.max.unwrap_or(f64::INFINITY))
}

/// The raw code of a healthy state, where the point has a map of words.
pub fn healthy(p: &Point) -> Option<i64> {
    let code = |word: &str| p.map.iter().find(|(_, w)| w.as_str() == word).map(|(c, _)| *c);
    HEALTHY
        .iter()
        .find_map(|w| code(w))
        .or_else(|| p.map.keys().next().copied())
}

fn by_name(name: &str) -> Option<f64> {
    let has = |part: &str| name.contains(part);
    let between_phases = ["voltage_l12", "voltage_l23", "voltage_l31", "voltage_ll"]
        .iter()
        .any(|v| has(v));
    Some(match name {
        _ if between_phases => 400.0,
        _ if has("battery_voltage") || has("dc_voltage") => 400.0,
        _ if has("starter_voltage") => 13.2,
        _ if has("power_factor") => 0.98,
        _ if has("rpm") => 1_500.0,
        _ if has("coolant") => 80.0,
        _ if has("oil_pressure") => 380.0,
        _ if has("fuel") => 75.0,
        _ if has("engine_hours") => 1_234.0,
        _ if has("capacity") => 10.0,
        _ if has("max_charge") || has("max_discharge") => 5.0,
        _ if has("rated_power") => 10.0,
        _ if has("soh") => 98.0,
        _ if has("min_soc") => 5.0,
        _ if has("max_soc") => 100.0,
        _ if has("failsafe_current") => 6.0,
        _ if has("phases") => 3.0,
        _ if has("fault") || has("alarm") || has("error") || has("warning") => 0.0,
        _ => return None,
    })
}

fn by_unit(unit: &str) -> f64 {
    match unit {
        "kW" | "kvar" | "kVA" => 0.4,
        "kWh" => 1_234.5,
        "A" => 1.8,
        "V" => 230.0,
        "Hz" => 50.0,
        "%" => 50.0,
        "°C" => 25.0,
        "s" => 60.0,
        _ => 1.0,
    }
}
