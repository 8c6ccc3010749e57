//! Which point of a device is which quantity of a component: the one mapping that `field` and `twin` share.
//!
//! Points carry the canonical names of profiles (`active_power`, `soc`, …) in the core's units and passive signs. For one
//! component and quantity several points may do; the first that the device has is taken.
//!
//! **One part of the device for one component.** In a SunSpec map the plain `active_power` is that of whichever model comes
//! first: an inverter's here, a meter's there. A meter is therefore fed by the points of one meter model (`meter[1].…`), PV by
//! those of the inverter's (`inverter[1].…`): total, phases and counters of a component never come from two of them.

use super::Site;
use super::plant::{Id, Kind};
use crate::profile::{INVERTER, METER, Profile};
use crate::reading::Quantity;
use serde::Serialize;
use std::collections::BTreeMap;

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

/// Points of a kind (as the site file calls it) besides [`ELECTRICAL`], before which they are taken.
fn own_rows(kind: &str) -> &'static [Row] {
    match kind {
        "pv" => &[
            ("pv_power", Quantity::ActivePower, Own),
            ("ac_power", Quantity::ActivePower, Inverter),
            ("energy_produced", Quantity::EnergyExport, Own),
            ("pv_limit", Quantity::PowerLimit, Own),
        ],
        "battery" => &[
            ("battery_power", Quantity::ActivePower, Own),
            ("soc", Quantity::StateOfCharge, Own),
            ("energy_charged", Quantity::EnergyImport, Own),
            ("energy_discharged", Quantity::EnergyExport, Own),
        ],
        "charge-point" => &[
            ("evse_power", Quantity::ActivePower, Own),
            ("evse_state", Quantity::ChargePointState, Own),
            ("applied_limit", Quantity::CurrentLimit, Own),
            ("current_limit", Quantity::CurrentLimit, Own),
            ("session_energy", Quantity::SessionEnergy, Own),
        ],
        "heat-pump" => &[
            ("heatpump_power", Quantity::ActivePower, Own),
            ("tank_temp", Quantity::TankTemperature, Own),
            ("room_temp", Quantity::RoomTemperature, Own),
            ("outdoor_temp", Quantity::OutdoorTemperature, Own),
            ("power_limit", Quantity::PowerLimit, Own),
            ("running", Quantity::Running, Whole),
        ],
        "generator" => &[
            ("genset_power", Quantity::ActivePower, Own),
            ("power_limit", Quantity::PowerLimit, Whole),
            ("running", Quantity::Running, Whole),
        ],
        "load" | "shiftable-load" | "sheddable-load" => &[("running", Quantity::Running, Whole)],
        _ => &[],
    }
}

/// The quantity that a point of this canonical name shows of a component of this kind, on a device of its own.
pub fn quantity_of(kind: &Kind, point: &str) -> Option<Quantity> {
    rows(kind.word()).find(|(name, ..)| *name == point).map(|(_, q, _)| q)
}

fn rows(kind: &str) -> impl Iterator<Item = Row> + use<> {
    own_rows(kind).iter().chain(&ELECTRICAL).copied()
}

/// Canonical names that some kind of component asks for.
pub(super) fn canonical() -> Vec<&'static str> {
    let own = super::parse_components::KINDS.iter().flat_map(|k| own_rows(k));
    let mut names: Vec<&str> = Vec::new();
    for (name, ..) in own.chain(&ELECTRICAL) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    names
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

/// A device's entry: what it is said to feed, and what its profile has.
pub(super) struct Entry<'a> {
    pub name: &'a str,
    /// `None` where the profile cannot be read: then every point may be there.
    pub profile: Option<&'a Profile>,
    /// Name and kind (word of the site file) of each component.
    pub fed: Vec<(&'a str, &'a str)>,
    /// Points named by the owner: `pv.active_power` and the device's point.
    pub points: Vec<(&'a str, &'a str)>,
}

/// What shows a quantity: the device's place in the list, the component, the quantity, the point.
pub(super) struct Source<'a> {
    pub entry: usize,
    pub component: &'a str,
    pub quantity: Quantity,
    pub point: String,
    /// The owner says that the device counts it the other way round.
    pub turned: bool,
}

/// Everything that shows something; of several for one component and quantity the first whose point the device has is meant.
/// Points named by the owner come first. Of a component on two devices, one that has points named for it shows nothing else.
pub(super) fn sources<'a>(entries: &[Entry<'a>]) -> Vec<Source<'a>> {
    let mut all = Vec::new();
    for (i, e) in entries.iter().enumerate() {
        for (component, _) in &e.fed {
            all.extend(e.named(component).map(|(q, p)| source(i, component, q, p)));
        }
    }
    for (i, e) in entries.iter().enumerate() {
        for (component, kind) in &e.fed {
            // Of two alike nothing in the names says which point is whose.
            if e.fed.iter().filter(|(_, k)| k == kind).count() > 1 {
                continue;
            }
            let elsewhere = entries.iter().enumerate().any(|(j, o)| j != i && o.feeds(component));
            if elsewhere && e.named(component).next().is_some() {
                continue;
            }
            all.extend(e.implied(component, kind).map(|(q, p)| source(i, component, q, &p)));
        }
    }
    all
}

fn source<'a>(entry: usize, component: &'a str, quantity: Quantity, point: &str) -> Source<'a> {
    let plain = point.strip_prefix('-');
    Source {
        entry,
        component,
        quantity,
        point: plain.unwrap_or(point).to_owned(),
        turned: plain.is_some(),
    }
}

impl<'a> Entry<'a> {
    pub fn feeds(&self, component: &str) -> bool {
        self.fed.iter().any(|(c, _)| *c == component)
    }

    /// What the owner says shows a component; a `-` before the point turns its sign.
    pub fn named(&self, component: &str) -> impl Iterator<Item = (Quantity, &'a str)> {
        self.points.iter().filter_map(move |(target, point)| {
            let (name, quantity) = target.split_once('.')?;
            (name == component).then_some(())?;
            Some((Quantity::parse(quantity)?, *point))
        })
    }

    /// What the names in the profile say shows a component.
    fn implied<'s>(&'s self, component: &'s str, kind: &'s str) -> impl Iterator<Item = (Quantity, String)> + 's {
        let place = self.place(component, kind);
        rows(kind).filter_map(move |(name, quantity, scope)| {
            let point = self.point(name, scope, kind, place)?;
            Some((quantity, point))
        })
    }

    /// The device's name for a canonical point of a component of this kind, where it may have it.
    fn point(&self, name: &str, scope: Scope, kind: &str, place: Option<&str>) -> Option<String> {
        let Some(p) = self.profile else {
            return self.reaches(scope, kind).then(|| name.to_owned());
        };
        let electrical = ELECTRICAL.iter().any(|(n, ..)| *n == name);
        if !electrical || !p.sunspec || p.is_named_by_vendor(name) && kind == "meter" {
            let own = kind != "meter" || !p.measures_itself();
            return (own && self.reaches(scope, kind) && p.shows(name)).then(|| name.to_owned());
        }
        p.of_model(place?, name)
    }

    /// The part of a SunSpec map whose electrical points are the component's; `None` where none is.
    fn place(&self, component: &str, kind: &str) -> Option<&str> {
        let has = |kind: &str| self.fed.iter().any(|(_, k)| *k == kind);
        match kind {
            "meter" => {
                let total = |(q, point): (Quantity, &'a str)| (q == Quantity::ActivePower).then_some(point);
                let vendor = || {
                    self.profile
                        .and_then(|p| p.quirks.names.get("active_power"))
                        .map(String::as_str)
                };
                let named = self.named(component).find_map(total).or_else(vendor);
                match named.map(|point| point.trim_start_matches('-').rsplit_once('.')) {
                    Some(Some((place, _))) => Some(place),
                    // A plain name is whichever model comes first: nothing else is known to be beside it.
                    Some(None) => None,
                    None => Some(METER),
                }
            }
            "pv" => (!has("battery")).then_some(INVERTER),
            "battery" => (!has("pv")).then_some(INVERTER),
            _ => (self.fed.len() == 1).then_some(METER),
        }
    }

    /// Whether a point of `scope` is about a component of `kind` on this device.
    fn reaches(&self, scope: Scope, kind: &str) -> bool {
        match scope {
            Own => true,
            Inverter => !self.fed.iter().any(|(_, k)| *k == "battery"),
            Whole => kind == "meter" || self.fed.len() == 1,
        }
    }
}

impl Site {
    /// The profiles that the devices name, each read once.
    pub fn profiles(&self) -> BTreeMap<String, Profile> {
        let mut all = BTreeMap::new();
        for name in self.wiring.devices.values().map(|d| &d.profile) {
            if !all.contains_key(name)
                && let Some(profile) = self.profile(name)
            {
                all.insert(name.clone(), profile);
            }
        }
        all
    }

    /// Every (device, component, quantity, point) of the site; of several for one component and quantity the first whose
    /// point the device has is meant. Points named by the owner (`[devices.<name>.points]`) come first.
    pub fn feeds(&self) -> Vec<Feed> {
        let profiles = self.profiles();
        let entries = self.entries(&profiles);
        let feed = |s: Source| {
            let kind = &self.plant.components.get(s.component)?.kind;
            let (device, component) = (Id::new(entries[s.entry].name), Id::new(s.component));
            let mut feed = feed(&device, &component, kind, s.quantity, &s.point);
            feed.factor *= if s.turned { -1.0 } else { 1.0 };
            Some(feed)
        };
        sources(&entries).into_iter().filter_map(feed).collect()
    }

    /// The device that is told what a component should do: of several the one whose profile takes the command.
    pub fn movers(&self) -> BTreeMap<Id, Id> {
        let profiles = self.profiles();
        let mut all = BTreeMap::new();
        for (id, c) in &self.plant.components {
            let feeding = || self.wiring.devices.iter().filter(|(_, d)| d.components.contains(id));
            let takes = |(_, d): &(&Id, &super::Device)| {
                let profile = profiles.get(&d.profile);
                profile
                    .zip(command_of(&c.kind))
                    .is_some_and(|(p, command)| takes(p, command))
            };
            let mover = feeding().find(takes).or_else(|| feeding().next());
            all.extend(mover.map(|(device, _)| (id.clone(), device.clone())));
        }
        all
    }

    fn entries<'a>(&'a self, profiles: &'a BTreeMap<String, Profile>) -> Vec<Entry<'a>> {
        let kind = |c: &'a Id| Some((c.as_str(), self.plant.components.get(c)?.kind.word()));
        let entry = |(id, d): (&'a Id, &'a super::Device)| Entry {
            name: id.as_str(),
            profile: profiles.get(&d.profile),
            fed: d.components.iter().filter_map(kind).collect(),
            points: d.points.iter().map(|(t, p)| (t.as_str(), p.as_str())).collect(),
        };
        self.wiring.devices.iter().map(entry).collect()
    }
}

/// Whether a profile takes a command of ours, or one that does the same: a generator that is only started and stopped.
pub fn takes(profile: &Profile, command: &str) -> bool {
    profile.takes(command) || command == "genset_power" && profile.takes("genset_start")
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
        let feeds = site.feeds();
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
        let pv = [("pv_power", 1.0), ("inverter[1].active_power", 1.0)];
        check(&seoul, "pv", Quantity::ActivePower, &pv);
        check(&seoul, "grid", Quantity::ActivePower, &[("meter[1].active_power", 1.0)]);
        check(&seoul, "charger-01", Quantity::ActivePower, &[("evse_power", 1.0)]);
    }

    #[test]
    fn reversed_current_transformers_turn_powers_and_swap_counters() {
        let mut home = builtin("home-amsterdam").unwrap();
        let grid = home.plant.components.get_mut("grid").unwrap();
        grid.kind = Kind::Meter(crate::site::Meter { ct_reversed: true });
        check(&home, "grid", Quantity::ActivePower, &[("meter[1].active_power", -1.0)]);
        check(
            &home,
            "grid",
            Quantity::EnergyImport,
            &[("meter[1].energy_export", 1.0)],
        );
        check(&home, "grid", Quantity::VoltageL1, &[("meter[1].voltage_l1", 1.0)]);
    }

    #[test]
    fn points_named_by_the_owner_come_first() {
        let mut home = builtin("home-amsterdam").unwrap();
        let inverter = home.wiring.devices.get_mut("inverter").unwrap();
        inverter
            .points
            .insert("pv.active_power".into(), "-mppt[1].dc_power".into());
        let pv = [("mppt[1].dc_power", -1.0), ("pv_power", 1.0)];
        check(&home, "pv", Quantity::ActivePower, &pv);
    }

    #[test]
    fn state_words_of_chargers_are_their_letter() {
        let found = ["A", "B2", "C1", "F", "x", ""].map(charge_point_state);
        assert_eq!(found, [Some(0.0), Some(1.0), Some(2.0), Some(5.0), None, None]);
    }
}
