//! Whether devices can feed and move what they are said to: each kind of component asks its roles (power, state of charge, a
//! command) of the profiles of its devices.
//!
//! Works on the names and words of the file, like `validate`, so that one bad rating hides no other fault. What a SunSpec
//! device really has is seen at run time; here it is asked what it may have.

use super::feeds::{Entry, Source, canonical, sources, takes};
use super::reader::Section;
use super::values::nearest;
use crate::profile::{Command, METER, Profile, WriteValue};
use crate::reading::Quantity;
use std::collections::{BTreeMap, BTreeSet};

/// Quantities of which a component needs one, in words.
type Role = (&'static str, &'static [Quantity]);

const POWER: Role = ("power", &[Quantity::ActivePower]);

fn roles(kind: &str) -> &'static [Role] {
    match kind {
        "battery" => &[POWER, ("state of charge", &[Quantity::StateOfCharge])],
        "charge-point" => &[POWER, ("state of the charger", &[Quantity::ChargePointState])],
        "shiftable-load" | "sheddable-load" => &[("power or running", &[Quantity::ActivePower, Quantity::Running])],
        _ => &[POWER],
    }
}

/// The command that a kind of component needs, and what to write where it shall do without.
fn command_role(kind: &str) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        "pv" => ("pv_limit", "write curtailable = false where it cannot be limited"),
        "battery" => ("battery_power", "write grid_forming = true where it goes its own way"),
        "charge-point" => ("evse_current_limit", "leave it out, and the residual load holds it"),
        "heat-pump" => ("heatpump_power", "make it a load where it goes its own way"),
        "generator" => ("genset_power", "make it a load where it goes its own way"),
        "shiftable-load" | "sheddable-load" => ("switch", "make it a load where nothing switches it"),
        _ => return None,
    })
}

/// The command without which a kind of component (as the site file calls it) cannot be moved.
pub fn command_needed(kind: &str) -> Option<&'static str> {
    command_role(kind).map(|(command, _)| command)
}

/// What of its measured roles a device of this profile cannot give to components of these kinds together; commands aside.
pub fn unfed<'k>(profile: &Profile, kinds: &[&'k str]) -> Vec<(&'k str, &'static str)> {
    let entry = Entry {
        name: "",
        profile: Some(profile),
        fed: kinds.iter().map(|k| (*k, *k)).collect(),
        points: vec![],
    };
    let shown = sources(std::slice::from_ref(&entry));
    let missing = |kind: &'k str| missing_roles(kind, kind, &shown).map(move |what| (kind, what));
    kinds.iter().flat_map(|k| missing(k).collect::<Vec<_>>()).collect()
}

fn missing_roles<'s>(component: &'s str, kind: &str, shown: &'s [Source]) -> impl Iterator<Item = &'static str> + 's {
    let is_shown = move |wanted: &[Quantity]| {
        shown
            .iter()
            .any(|s| s.component == component && wanted.contains(&s.quantity))
    };
    roles(kind)
        .iter()
        .filter(move |(_, any)| !is_shown(any))
        .map(|(what, _)| *what)
}

/// A device of the file.
struct Device<'o, 'a, 't> {
    section: &'o Section<'a, 't>,
    profile_name: &'a str,
}

/// Components and devices of the file, as far as their names and words go.
struct Plan<'o, 'a, 't> {
    components: Vec<(&'o str, &'a str, &'o Section<'a, 't>)>,
    devices: Vec<Device<'o, 'a, 't>>,
    entries: Vec<Entry<'o>>,
}

/// Reports what no device can do that is said to.
pub(super) fn check(root: &Section, profile_of: impl Fn(&str) -> Option<Profile>) {
    let (components, devices) = (root.named("components", ""), root.named("devices", ""));
    let mut profiles: BTreeMap<&str, Option<Profile>> = BTreeMap::new();
    for name in devices.iter().filter_map(|(_, d)| d.peek("profile")) {
        profiles.entry(name).or_insert_with(|| profile_of(name));
    }
    let components: Vec<_> = components
        .iter()
        .filter_map(|(name, s)| Some((name.as_str(), s.peek("kind")?, s)))
        .collect();
    let named = |c: &str| {
        components
            .iter()
            .find(|(name, ..)| *name == c)
            .map(|(name, kind, _)| (*name, *kind))
    };
    let entries = devices.iter().map(|(name, d)| Entry {
        name,
        profile: d.peek("profile").and_then(|p| profiles.get(p)?.as_ref()),
        fed: d.peek_list("components").into_iter().filter_map(named).collect(),
        points: d.peek_texts("points"),
    });
    let plan = Plan {
        entries: entries.collect(),
        devices: devices
            .iter()
            .map(|(_, section)| Device {
                section,
                profile_name: section.peek("profile").unwrap_or_default(),
            })
            .collect(),
        components: components.clone(),
    };
    let shown = sources(&plan.entries);
    for (name, kind, section) in &plan.components {
        plan.component(name, kind, section, &shown);
    }
    for i in 0..plan.entries.len() {
        plan.points(i);
        plan.alike(i);
        plan.options(i);
    }
}

impl Plan<'_, '_, '_> {
    fn fault(&self, device: usize, key: &str, message: String) {
        self.devices[device].section.fault(key, message);
    }

    fn component(&self, name: &str, kind: &str, section: &Section, shown: &[Source]) {
        let feeding: Vec<usize> = (0..self.entries.len())
            .filter(|i| self.entries[*i].feeds(name))
            .collect();
        let Some(first) = feeding.first().copied() else { return };
        self.one_source(name, &feeding);
        if feeding.iter().any(|i| self.entries[*i].profile.is_none()) || self.is_ambiguous(first, kind) {
            return;
        }
        for what in missing_roles(name, kind, shown) {
            let why = format!(
                "{} for the {kind} `{name}`: {}",
                self.lacks(first, what),
                self.has(&feeding)
            );
            self.fault(first, "components", format!("{why}{}", self.hint(first, kind)));
        }
        let uncontrolled = match kind {
            "pv" => section.peek_flag("curtailable") == Some(false),
            "battery" => section.peek_flag("grid_forming") == Some(true),
            _ => false,
        };
        let Some((command, way_out)) = command_role(kind).filter(|_| !uncontrolled) else {
            return;
        };
        let profiles = || feeding.iter().filter_map(|i| self.entries[*i].profile);
        if !profiles().any(|p| takes(p, command)) {
            let lacks = self.lacks(first, &format!("command `{command}`"));
            self.fault(
                first,
                "components",
                format!("{lacks} for the {kind} `{name}`: {}; {way_out}", self.has(&feeding)),
            );
        }
    }

    /// A component has one device, unless its owner says which points are whose.
    fn one_source(&self, name: &str, feeding: &[usize]) {
        let (mut whole, mut parts): (Option<usize>, BTreeMap<Quantity, usize>) = (None, BTreeMap::new());
        for i in feeding {
            let named: Vec<Quantity> = self.entries[*i].named(name).map(|(q, _)| q).collect();
            let twice = match (named.is_empty(), whole) {
                (true, None) => {
                    whole = Some(*i);
                    None
                }
                (true, Some(other)) => Some(other),
                (false, _) => named.iter().find_map(|q| parts.insert(*q, *i)),
            };
            if let Some(other) = twice {
                let (own, other) = (self.entries[*i].name, self.entries[other].name);
                self.fault(
                    *i,
                    "components",
                    format!(
                        "`{name}` is fed by `{other}` already: one device feeds a component. Where each shows a part of it, say \
                         which: [devices.{own}.points] \"{name}.<quantity>\" = \"<point>\", each quantity once"
                    ),
                );
            }
        }
    }

    /// Several components of one kind on one device: nothing in its names says which point is whose.
    fn is_ambiguous(&self, device: usize, kind: &str) -> bool {
        self.entries[device].fed.iter().filter(|(_, k)| *k == kind).count() > 1
    }

    fn alike(&self, i: usize) {
        let e = &self.entries[i];
        let kinds: BTreeSet<&str> = e.fed.iter().map(|(_, k)| *k).collect();
        for kind in kinds.into_iter().filter(|k| self.is_ambiguous(i, k)) {
            let all: Vec<&str> = e.fed.iter().filter(|(_, k)| *k == kind).map(|(c, _)| *c).collect();
            let list = all.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(" and ");
            let unnamed = |c: &&&str| {
                let missing = |(_, any): &Role| !e.named(c).any(|(q, _)| any.contains(&q));
                roles(kind).iter().any(missing)
            };
            if let Some(c) = all.iter().find(unnamed) {
                let wanted: Vec<&str> = roles(kind).iter().map(|(what, _)| *what).collect();
                self.fault(
                    i,
                    "components",
                    format!(
                        "{list} are each a {kind} of this one device, and its names do not say which point is whose; say it for \
                         each ({}): [devices.{}.points] \"{c}.active_power\" = \"<point>\"",
                        wanted.join(", "),
                        e.name
                    ),
                );
            }
            self.moved_together(i, kind, &all, &list);
        }
    }

    /// One command cannot move two components.
    fn moved_together(&self, i: usize, kind: &str, all: &[&str], list: &str) {
        let section = |c: &str| self.components.iter().find(|(name, ..)| *name == c).map(|(.., s)| *s);
        let moved = all.iter().filter(|c| {
            let flag = |key: &str| section(c).and_then(|s| s.peek_flag(key));
            match kind {
                "pv" => flag("curtailable") != Some(false),
                "battery" => flag("grid_forming") != Some(true),
                _ => true,
            }
        });
        if let Some((command, _)) = command_role(kind)
            && moved.count() > 1
        {
            let way_out = if kind == "pv" {
                "write curtailable = false for all but one, or make them one component"
            } else {
                "make them one component"
            };
            self.fault(
                i,
                "components",
                format!("{list} would be moved by the one `{command}` of this device; {way_out}"),
            );
        }
    }

    fn points(&self, i: usize) {
        let e = &self.entries[i];
        let Some(p) = e.profile else { return };
        for (target, point) in &e.points {
            let point = point.strip_prefix('-').unwrap_or(point);
            let Some((component, quantity)) = target.split_once('.') else {
                continue;
            };
            let (kind, quantity) = (
                e.fed.iter().find(|(c, _)| *c == component).map(|(_, k)| *k),
                Quantity::parse(quantity),
            );
            let (Some(kind), Some(quantity)) = (kind, quantity) else {
                continue;
            };
            if !p.shows(point) {
                let names = p
                    .points
                    .iter()
                    .map(|x| x.name.as_str())
                    .chain(p.derived.iter().map(|d| d.name.as_str()));
                let hint =
                    nearest(point, names).map_or_else(|| self.has(&[i]), |near| format!("did you mean `{near}`?"));
                let profile = self.devices[i].profile_name;
                self.fault(i, "points", format!("profile {profile} has no point `{point}`; {hint}"));
            } else if let Some(unit) = p.unit_of(point).filter(|u| !u.is_empty() && !fits(quantity, u)) {
                self.fault(
                    i,
                    "points",
                    format!("`{point}` is in {unit}, which is no unit of `{target}`"),
                );
            } else if kind == "meter" && p.sunspec && !point.contains("].") && !p.is_named_by_vendor(point) {
                self.fault(
                    i,
                    "points",
                    format!(
                        "`{point}` is that of whichever SunSpec model comes first, an inverter's where the device has one; \
                         a meter's is `{METER}.{point}`"
                    ),
                );
            }
        }
    }

    /// Numbers of the installation: known to the profile, within its bounds, and there where a command needs them.
    fn options(&self, i: usize) {
        let Some(p) = self.entries[i].profile else { return };
        let given = self.devices[i].section.peek_texts("options");
        for (name, text) in &given {
            let Some(known) = p.options.get(*name) else {
                let list: Vec<&str> = p.options.keys().map(String::as_str).collect();
                let list = if list.is_empty() {
                    "none".into()
                } else {
                    list.join(", ")
                };
                let profile = self.devices[i].profile_name;
                self.fault(
                    i,
                    "options",
                    format!("profile {profile} has no option `{name}`; it has {list}"),
                );
                continue;
            };
            let number = text.split_whitespace().next().and_then(|n| n.parse::<f64>().ok());
            if number.is_some_and(|n| !(known.min..=known.max).contains(&n)) {
                let unit = &known.unit;
                let why = format!(
                    "`{name}` is a number from {} to {} {unit}, not `{text}`",
                    known.min, known.max
                );
                self.fault(i, "options", why.trim_end().to_owned());
            }
        }
        let is_known =
            |o: &str| given.iter().any(|(n, _)| *n == o) || p.options.get(o).is_some_and(|k| k.default.is_some());
        for (component, kind) in &self.entries[i].fed {
            let Some((name, _)) = command_role(kind) else {
                continue;
            };
            let Some(command) = p.commands.get(name).filter(|_| self.is_moved(component, kind)) else {
                continue;
            };
            for option in options_of(command).into_iter().filter(|o| !is_known(o)) {
                let note = p.options.get(option).map_or("", |o| o.note.as_str());
                let device = self.entries[i].name;
                self.fault(
                    i,
                    "components",
                    format!("`{name}` for `{component}` needs [devices.{device}.options] {option} = \"…\": {note}"),
                );
            }
        }
    }

    fn is_moved(&self, component: &str, kind: &str) -> bool {
        let section = self
            .components
            .iter()
            .find(|(name, ..)| *name == component)
            .map(|(.., s)| *s);
        let flag = |key: &str| section.and_then(|s| s.peek_flag(key));
        match kind {
            "pv" => flag("curtailable") != Some(false),
            "battery" => flag("grid_forming") != Some(true),
            _ => true,
        }
    }

    fn lacks(&self, device: usize, what: &str) -> String {
        format!("profile {} has no {what}", self.devices[device].profile_name)
    }

    /// What the profiles of these devices have, as far as a site can use it.
    fn has(&self, devices: &[usize]) -> String {
        let profiles: Vec<&Profile> = devices.iter().filter_map(|i| self.entries[*i].profile).collect();
        let shows = canonical()
            .into_iter()
            .filter(|n| profiles.iter().any(|p| p.is_named_by_vendor(n)));
        let mut shows: Vec<&str> = shows.collect();
        if profiles.iter().any(|p| p.sunspec) {
            shows.push("what its SunSpec models have");
        }
        let takes: BTreeSet<&str> = profiles
            .iter()
            .flat_map(|p| p.commands.keys().map(String::as_str))
            .collect();
        let list = |all: Vec<&str>| {
            if all.is_empty() {
                "nothing".to_owned()
            } else {
                all.join(", ")
            }
        };
        format!(
            "it shows {}; it takes {}",
            list(shows),
            list(takes.into_iter().collect())
        )
    }

    /// Why a meter is not fed by what a device measures of itself.
    fn hint(&self, device: usize, kind: &str) -> String {
        let profile = self.entries[device].profile.filter(|p| p.measures_itself());
        match profile.filter(|_| kind == "meter") {
            Some(p) => format!(" (a {} measures itself, not the connection)", p.kind),
            None => String::new(),
        }
    }
}

/// Options without which a command cannot be made; a command in per cent counts in those of the rated power.
pub fn options_of(command: &Command) -> BTreeSet<&str> {
    let of_write = command.writes().flat_map(|w| {
        let value = match &w.value {
            WriteValue::Option { name, .. } => Some(name.as_str()),
            _ => None,
        };
        let phases = w.phase.map(|_| "phases");
        value.into_iter().chain(w.unit_option.as_deref()).chain(phases)
    });
    let in_share = (command.unit == "%").then_some("rated_power");
    of_write.chain(in_share).collect()
}

/// Whether a point in this unit can be the quantity.
fn fits(quantity: Quantity, unit: &str) -> bool {
    use Quantity::*;
    match quantity {
        ActivePower | ActivePowerL1 | ActivePowerL2 | ActivePowerL3 | PowerLimit => unit == "kW",
        CurrentL1 | CurrentL2 | CurrentL3 | CurrentLimit => unit == "A",
        VoltageL1 | VoltageL2 | VoltageL3 => unit == "V",
        EnergyImport | EnergyExport | SessionEnergy => unit == "kWh",
        Frequency => unit == "Hz",
        StateOfCharge => unit == "%",
        TankTemperature | RoomTemperature | OutdoorTemperature => unit == "°C",
        _ => true,
    }
}
