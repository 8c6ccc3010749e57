//! Is a value believable? Range by rating, no jump beyond what the plant can do, counters that only rise.

use crate::model::{Doubt, Quantity};
use crate::reading::Reading;
use crate::site::{Id, Kind, Plant};
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// Ratings are exceeded a little in reality (inverter overload, meter tolerance).
const MARGIN: f64 = 1.5;

/// Returns the reading, or an invalid one and a doubt. `accepted` remembers counters by "component/quantity".
pub fn check(
    plant: &Plant,
    component: &Id,
    quantity: Quantity,
    reading: Reading<f64>,
    accepted: &mut BTreeMap<String, (Timestamp, f64)>,
    doubts: &mut Vec<Doubt>,
) -> Reading<f64> {
    let Some(value) = reading.usable() else { return reading };
    let fault = range_fault(plant, component, quantity, value)
        .or_else(|| counter_fault(plant, component, quantity, value, reading.at(), accepted));
    match fault {
        None => reading,
        Some(why) => {
            doubts.push(Doubt {
                component: component.clone(),
                quantity,
                why,
            });
            Reading::invalid(reading.at())
        }
    }
}

fn range_fault(plant: &Plant, component: &Id, quantity: Quantity, value: f64) -> Option<String> {
    if !value.is_finite() {
        return Some(format!("{value} is not a number"));
    }
    let (low, high) = range(plant, component, quantity)?;
    if (low..=high).contains(&value) {
        return None;
    }
    Some(format!("{value:.3} lies outside {low:.1} to {high:.1}"))
}

/// Believable range in the quantity's own unit; `None` where anything goes.
fn range(plant: &Plant, component: &Id, quantity: Quantity) -> Option<(f64, f64)> {
    match quantity {
        Quantity::ActivePower => power_range(plant, component),
        Quantity::StateOfCharge => Some((0.0, 1.0)),
        Quantity::VoltageL1 | Quantity::VoltageL2 | Quantity::VoltageL3 => Some((80.0, 300.0)),
        Quantity::Frequency => Some((45.0, 65.0)),
        Quantity::ChargePointState => Some((0.0, 5.0)),
        Quantity::TankTemperature => Some((-20.0, 110.0)),
        Quantity::RoomTemperature => Some((-20.0, 60.0)),
        Quantity::OutdoorTemperature => Some((-60.0, 60.0)),
        Quantity::EnergyImport | Quantity::EnergyExport | Quantity::SessionEnergy => Some((0.0, 1e9)),
        _ => None,
    }
}

fn power_range(plant: &Plant, component: &Id) -> Option<(f64, f64)> {
    let voltage = plant.connection.as_ref().map_or(0.23, |c| c.voltage.as_volts() / 1e3);
    let c = plant.components.get(component)?;
    let phases = c.phases.iter().filter(|p| **p).count() as f64;
    let (low, high) = match &c.kind {
        Kind::Meter(_) => {
            let point = plant.connection.as_ref()?;
            // A fuse carries twice its rating for a while; a meter must still be believed then.
            let most = 3.0 * point.fuse.as_amps() * voltage * 2.0;
            (-most, most)
        }
        Kind::Pv(p) => (-p.inverter_max.max(p.peak).as_kw(), 0.1 * p.inverter_max.as_kw()),
        Kind::Battery(b) => (-b.discharge_max.as_kw(), b.charge_max.as_kw()),
        Kind::ChargePoint(p) => {
            let most = p.current_max.as_amps() * voltage * phases;
            (-p.discharge_max.map_or(0.1, |d| d.as_kw()), most)
        }
        Kind::HeatPump(h) => (-0.1, h.electric_max.as_kw()),
        Kind::Generator(g) => (-g.power_max.as_kw(), 0.1 * g.power_max.as_kw()),
        Kind::ShiftableLoad(l) => (-0.1, l.power.as_kw()),
        Kind::SheddableLoad(l) => (-0.1, 2.0 * l.expected.max.as_kw()),
        Kind::Load(l) => (-0.1, 3.0 * l.expected.max.as_kw()),
    };
    Some((low * MARGIN - 0.05, high * MARGIN + 0.05))
}

/// A counter that falls was reset (accepted from then on); one that leaps faster than the rating allows is not believed.
fn counter_fault(
    plant: &Plant,
    component: &Id,
    quantity: Quantity,
    value: f64,
    at: Timestamp,
    accepted: &mut BTreeMap<String, (Timestamp, f64)>,
) -> Option<String> {
    if !matches!(quantity, Quantity::EnergyImport | Quantity::EnergyExport) {
        return None;
    }
    let side = if quantity == Quantity::EnergyImport {
        "import"
    } else {
        "export"
    };
    let key = format!("{component}/{side}");
    let Some((since, before)) = accepted.get(&key).copied() else {
        accepted.insert(key, (at, value));
        return None;
    };
    let (low, high) = power_range(plant, component)?;
    let most = low.abs().max(high) * (at - since).as_seconds_f64() / 3600.0 + 1.0;
    if value < before - 0.01 {
        accepted.insert(key, (at, value));
        return Some(format!("the counter fell from {before:.2} to {value:.2} kWh"));
    }
    if value - before > most {
        return Some(format!("the counter leapt by {:.2} kWh", value - before));
    }
    accepted.insert(key, (at, value));
    None
}
