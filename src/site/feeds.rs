//! Which point of a device is which quantity of a component: the one mapping that `field` and `twin` share.
//!
//! Points carry the canonical names of profiles (`active_power`, `soc`, …) in the core's units and passive signs. For one
//! component and quantity several points may do; the first that the device has is taken.

use super::plant::{Component, Id, Kind, Plant};
use super::wiring::{Device, Wiring};
use crate::reading::Quantity;
use serde::Serialize;

/// A point that shows a quantity of a component: `quantity = point × factor`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Feed {
    pub device: Id,
    pub component: Id,
    pub quantity: Quantity,
    /// Name of the device's point.
    pub point: String,
    /// From the point's unit (`%`) to the quantity's, and −1 where current transformers are mounted backwards.
    pub factor: f64,
}

/// What a point says when its device feeds several components.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scope {
    /// The name itself says which component is meant.
    Own,
    /// The whole device's AC side: a PV's where the device has no battery.
    Inverter,
    /// The meter's where the device has one, else the device's as a whole.
    Whole,
}
use Scope::{Inverter, Own, Whole};

type Row = (&'static str, Quantity, Scope);

/// Electrical points that any metered component may have.
const ELECTRICAL: [Row; 13] = [
    ("active_power", Quantity::ActivePower, Whole),
    ("active_power_l1", Quantity::ActivePowerL1, Whole),
    ("active_power_l2", Quantity::ActivePowerL2, Whole),
    ("active_power_l3", Quantity::ActivePowerL3, Whole),
    ("current_l1", Quantity::CurrentL1, Whole),
    ("current_l2", Quantity::CurrentL2, Whole),
    ("current_l3", Quantity::CurrentL3, Whole),
    ("voltage_l1", Quantity::VoltageL1, Whole),
    ("voltage_l2", Quantity::VoltageL2, Whole),
    ("voltage_l3", Quantity::VoltageL3, Whole),
    ("frequency", Quantity::Frequency, Whole),
    ("energy_import", Quantity::EnergyImport, Whole),
    ("energy_export", Quantity::EnergyExport, Whole),
];

/// Points of a kind besides [`ELECTRICAL`], before which they are taken.
fn own_rows(kind: &Kind) -> &'static [Row] {
    match kind {
        Kind::Meter(_) => &[],
        Kind::Pv(_) => &[
            ("pv_power", Quantity::ActivePower, Own),
            ("ac_power", Quantity::ActivePower, Inverter),
            ("energy_produced", Quantity::EnergyExport, Own),
            ("pv_limit", Quantity::PowerLimit, Own),
        ],
        Kind::Battery(_) => &[
            ("battery_power", Quantity::ActivePower, Own),
            ("soc", Quantity::StateOfCharge, Own),
            ("energy_charged", Quantity::EnergyImport, Own),
            ("energy_discharged", Quantity::EnergyExport, Own),
        ],
        Kind::ChargePoint(_) => &[
            ("evse_power", Quantity::ActivePower, Own),
            ("evse_state", Quantity::ChargePointState, Own),
            ("applied_limit", Quantity::CurrentLimit, Own),
            ("current_limit", Quantity::CurrentLimit, Own),
            ("session_energy", Quantity::SessionEnergy, Own),
        ],
        Kind::HeatPump(_) => &[
            ("heatpump_power", Quantity::ActivePower, Own),
            ("tank_temp", Quantity::TankTemperature, Own),
            ("room_temp", Quantity::RoomTemperature, Own),
            ("outdoor_temp", Quantity::OutdoorTemperature, Own),
            ("power_limit", Quantity::PowerLimit, Own),
            ("running", Quantity::Running, Whole),
        ],
        Kind::Generator(_) => &[
            ("genset_power", Quantity::ActivePower, Own),
            ("power_limit", Quantity::PowerLimit, Whole),
            ("running", Quantity::Running, Whole),
        ],
        Kind::Load(_) | Kind::ShiftableLoad(_) | Kind::SheddableLoad(_) => &[("running", Quantity::Running, Whole)],
    }
}

/// The quantity that a point of this canonical name shows of a component of this kind, on a device of its own.
pub fn quantity_of(kind: &Kind, point: &str) -> Option<Quantity> {
    rows(kind).find(|(name, ..)| *name == point).map(|(_, q, _)| q)
}

fn rows(kind: &Kind) -> impl Iterator<Item = Row> {
    own_rows(kind).iter().chain(&ELECTRICAL).copied()
}

/// The canonical command that moves a component of this kind; `None` where nothing may be commanded.
/// `battery_power` kW, `pv_limit` kW, `evse_current_limit` A, `heatpump_power` kW, `genset_power` kW (magnitude, 0 stops),
/// `switch` on.
pub fn command_of(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Battery(b) => (!b.grid_forming).then_some("battery_power"),
        Kind::Pv(p) => p.curtailable.then_some("pv_limit"),
        Kind::ChargePoint(_) => Some("evse_current_limit"),
        Kind::HeatPump(_) => Some("heatpump_power"),
        Kind::Generator(_) => Some("genset_power"),
        Kind::ShiftableLoad(_) | Kind::SheddableLoad(_) => Some("switch"),
        Kind::Meter(_) | Kind::Load(_) => None,
    }
}

/// IEC 61851 state word of a point (`A`, `B1`, `C2`, …) → value of [`Quantity::ChargePointState`].
pub fn charge_point_state(word: &str) -> Option<f64> {
    let letter = word.trim().bytes().next()?;
    (b'A'..=b'F').contains(&letter).then(|| f64::from(letter - b'A'))
}

impl Wiring {
    /// Every (device, component, quantity, point) of the site; of several for one component and quantity the first whose
    /// point the device has is meant. Points named by the owner (`[devices.<name>.points]`) come first.
    pub fn feeds(&self, plant: &Plant) -> Vec<Feed> {
        let mut feeds = Vec::new();
        for (id, device) in &self.devices {
            let fed: Vec<(&Id, &Component)> = device
                .components
                .iter()
                .filter_map(|c| plant.components.get_key_value(c))
                .collect();
            for (component, c) in &fed {
                feeds.extend(named_by_owner(device, component).map(|(q, p)| feed(id, component, &c.kind, q, p)));
                let fits = rows(&c.kind).filter(|(_, _, scope)| reaches(*scope, &c.kind, &fed));
                feeds.extend(fits.map(|(point, q, _)| feed(id, component, &c.kind, q, point)));
            }
        }
        feeds
    }
}

/// Whether a point of `scope` is about a component of `kind` on a device that feeds all of `fed`.
fn reaches(scope: Scope, kind: &Kind, fed: &[(&Id, &Component)]) -> bool {
    let has = |is: fn(&Kind) -> bool| fed.iter().any(|(_, c)| is(&c.kind));
    match scope {
        Own => true,
        Inverter => !has(|k| matches!(k, Kind::Battery(_))),
        Whole if matches!(kind, Kind::Meter(_)) => true,
        Whole => fed.len() == 1,
    }
}

fn named_by_owner<'d>(device: &'d Device, component: &Id) -> impl Iterator<Item = (Quantity, &'d str)> {
    let component = component.clone();
    device.points.iter().filter_map(move |(target, point)| {
        let (name, quantity) = target.split_once('.')?;
        (name == component.as_str()).then_some(())?;
        Some((Quantity::parse(quantity)?, point.as_str()))
    })
}

fn feed(device: &Id, component: &Id, kind: &Kind, quantity: Quantity, point: &str) -> Feed {
    let reversed = matches!(kind, Kind::Meter(m) if m.ct_reversed);
    Feed {
        device: device.clone(),
        component: component.clone(),
        quantity: if reversed { mirrored(quantity) } else { quantity },
        point: point.to_owned(),
        factor: factor(quantity) * if reversed && is_power(quantity) { -1.0 } else { 1.0 },
    }
}

/// What a counter counts when the current transformers are mounted backwards.
fn mirrored(quantity: Quantity) -> Quantity {
    match quantity {
        Quantity::EnergyImport => Quantity::EnergyExport,
        Quantity::EnergyExport => Quantity::EnergyImport,
        other => other,
    }
}

fn is_power(quantity: Quantity) -> bool {
    use Quantity::{ActivePower, ActivePowerL1, ActivePowerL2, ActivePowerL3};
    matches!(quantity, ActivePower | ActivePowerL1 | ActivePowerL2 | ActivePowerL3)
}

fn factor(quantity: Quantity) -> f64 {
    if quantity == Quantity::StateOfCharge { 0.01 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{Site, builtin};

    fn points(site: &Site, component: &str, quantity: Quantity) -> Vec<(String, f64)> {
        let feeds = site.wiring.feeds(&site.plant);
        let fits = feeds
            .iter()
            .filter(|f| f.component.as_str() == component && f.quantity == quantity);
        fits.map(|f| (f.point.clone(), f.factor)).collect()
    }

    fn check(site: &Site, component: &str, quantity: Quantity, expected: &[(&str, f64)]) {
        let found = points(site, component, quantity);
        let expected: Vec<_> = expected.iter().map(|(p, s)| ((*p).to_owned(), *s)).collect();
        assert_eq!(found, expected, "{component} {quantity:?}");
    }

    #[test]
    fn on_a_hybrid_inverter_only_names_that_say_so_feed_pv_and_battery() {
        let home = builtin("home-amsterdam").unwrap();
        check(&home, "pv", Quantity::ActivePower, &[("pv_power", 1.0)]);
        check(&home, "battery", Quantity::ActivePower, &[("battery_power", 1.0)]);
        check(&home, "battery", Quantity::StateOfCharge, &[("soc", 0.01)]);
    }

    #[test]
    fn a_device_of_its_own_also_feeds_by_its_total() {
        let seoul = builtin("apartment-seoul").unwrap();
        let pv = [("pv_power", 1.0), ("ac_power", 1.0), ("active_power", 1.0)];
        check(&seoul, "pv", Quantity::ActivePower, &pv);
        check(&seoul, "grid", Quantity::ActivePower, &[("active_power", 1.0)]);
    }

    #[test]
    fn reversed_current_transformers_turn_powers_and_swap_counters() {
        let mut home = builtin("home-amsterdam").unwrap();
        let grid = home.plant.components.get_mut("grid").unwrap();
        grid.kind = Kind::Meter(crate::site::Meter { ct_reversed: true });
        check(&home, "grid", Quantity::ActivePower, &[("active_power", -1.0)]);
        check(&home, "grid", Quantity::EnergyImport, &[("energy_export", 1.0)]);
        check(&home, "grid", Quantity::VoltageL1, &[("voltage_l1", 1.0)]);
    }

    #[test]
    fn points_named_by_the_owner_come_first() {
        let mut home = builtin("home-amsterdam").unwrap();
        let inverter = home.wiring.devices.get_mut("inverter").unwrap();
        inverter
            .points
            .insert("pv.active_power".into(), "mppt[1].dc_power".into());
        let pv = [("mppt[1].dc_power", 1.0), ("pv_power", 1.0)];
        check(&home, "pv", Quantity::ActivePower, &pv);
    }

    #[test]
    fn state_words_of_chargers_are_their_letter() {
        let found = ["A", "B2", "C1", "F", "x", ""].map(charge_point_state);
        assert_eq!(found, [Some(0.0), Some(1.0), Some(2.0), Some(5.0), None, None]);
    }
}
