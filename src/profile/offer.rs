//! What a device with this profile can show and be told: asked by `check`, by the wiring and by a scan.
//!
//! A profile's own points and commands are certain. What a SunSpec device has is known only after discovery; here stands what
//! it may have, by the names discovery gives (see `field::sunspec`).

use super::{BatteryWay, Derivation, Profile};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// The inverter's part of a SunSpec map as a whole: the first model of family `inverter` or `der`.
pub const INVERTER: &str = "inverter[1]";
/// The first meter of a SunSpec map.
pub const METER: &str = "meter[1]";

/// Names that discovery can give, from the information models.
static MODELS: LazyLock<Models> = LazyLock::new(|| Models::read(include_str!("sunspec/models.txt")));

/// Shown names by family, and of repeating parts by the part's name.
#[derive(Debug, Default)]
struct Models {
    families: BTreeMap<&'static str, BTreeSet<&'static str>>,
    parts: BTreeMap<&'static str, BTreeSet<&'static str>>,
}

impl Models {
    fn read(text: &'static str) -> Self {
        let mut all = Self::default();
        let (mut family, mut part) = ("", None);
        for line in text.lines() {
            let words: Vec<&'static str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] | ["#", ..] => {}
                ["model", .., name, _] => (family, part) = (*name, None),
                ["group", name, ..] => part = Some(*name),
                [_, _, _, _, shown] if *shown != "-" => {
                    let names = match part {
                        Some(part) => all.parts.entry(part).or_default(),
                        None => all.families.entry(family).or_default(),
                    };
                    names.insert(shown.trim_start_matches('-'));
                }
                _ => {}
            }
        }
        all
    }

    /// `active_power`, `meter[2].active_power`, `mppt[1].dc_power`, `battery_string[1].module[3].soc`
    fn has(&self, name: &str) -> bool {
        let Some((place, own)) = name.rsplit_once('.') else {
            return self.families.values().any(|names| names.contains(name));
        };
        let last = place.rsplit('.').next().unwrap_or(place);
        let Some((part, number)) = last.split_once('[') else {
            return false;
        };
        let counted = number
            .strip_suffix(']')
            .is_some_and(|n| n.parse::<u16>().is_ok_and(|n| n > 0));
        let known = self.families.get(part).or_else(|| self.parts.get(part));
        counted && known.is_some_and(|names| names.contains(own))
    }

    fn family_has(&self, family: &str, name: &str) -> bool {
        self.families.get(family).is_some_and(|names| names.contains(name))
    }
}

impl Profile {
    /// Whether a device of this profile shows this point, or (SunSpec) may show it.
    pub fn shows(&self, name: &str) -> bool {
        let stated = self.points.iter().any(|p| p.name == name) || self.derived.iter().any(|d| d.name == name);
        stated || self.sunspec && (self.quirks.names.contains_key(name) || self.derives(name) || MODELS.has(name))
    }

    /// Whether a device of this profile takes this command, or (SunSpec) may take it.
    pub fn takes(&self, command: &str) -> bool {
        let by_model = match command {
            "battery_power" => self.quirks.battery != Some(BatteryWay::Nothing),
            "pv_limit" => true,
            _ => false,
        };
        self.commands.contains_key(command) || self.sunspec && by_model
    }

    /// Whether the vendor's profile gives a SunSpec name this meaning.
    pub fn is_named_by_vendor(&self, name: &str) -> bool {
        let stated = self.points.iter().any(|p| p.name == name) || self.derived.iter().any(|d| d.name == name);
        stated || self.quirks.names.contains_key(name)
    }

    /// Whether its electrical points are about the device itself, so that they say nothing of a grid connection.
    pub fn measures_itself(&self) -> bool {
        !matches!(self.kind.as_str(), "meter" | "hybrid" | "ess_gateway" | "sunspec") && !self.sunspec
    }

    /// Battery and PV that discovery computes from the DC modules of a hybrid.
    fn derives(&self, name: &str) -> bool {
        const OF_MODULES: [&str; 5] = [
            "battery_power",
            "energy_charged",
            "energy_discharged",
            "pv_power",
            "energy_produced",
        ];
        self.quirks.battery != Some(BatteryWay::Nothing) && OF_MODULES.contains(&name)
    }

    /// The name under which a SunSpec device shows what its meter (`meter[2]`) or its inverter ([`INVERTER`]) measures; `None`
    /// where no model of it has such a point.
    pub fn of_model(&self, place: &str, name: &str) -> Option<String> {
        let family = place.split('[').next().unwrap_or(place);
        let has = MODELS.family_has(family, name) || place == INVERTER && MODELS.family_has("der", name);
        (self.sunspec && has).then(|| format!("{place}.{name}"))
    }

    /// The parts of a value that the profile computes: factor and point.
    pub fn sum_of(&self, name: &str) -> Option<&[(f64, String)]> {
        let derived = self.derived.iter().find(|d| d.name == name)?;
        match &derived.how {
            Derivation::Sum { parts, .. } => Some(parts),
            Derivation::Rules { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::builtin;

    #[test]
    fn a_profile_says_what_it_shows_and_a_sunspec_one_what_discovery_may_find() {
        let plain = builtin("sunspec").unwrap();
        for name in [
            "active_power",
            "soc",
            "pv_power",
            "meter[3].active_power_l2",
            "mppt[2].dc_power",
            "battery_string[1].module[3].soc",
        ] {
            assert!(plain.shows(name), "{name}");
        }
        for name in [
            "evse_power",
            "meter[0].active_power",
            "meter[x].soc",
            "meter[1].soc",
            "roof[1].dc_power",
            "meter",
        ] {
            assert!(!plain.shows(name), "{name}");
        }
        assert!(plain.takes("battery_power") && plain.takes("pv_limit") && !plain.takes("switch"));
        let edge = builtin("solaredge-sunspec").unwrap();
        assert!(!edge.takes("battery_power") && !edge.shows("battery_dance"));
        let meter = builtin("eastron-sdm630").unwrap();
        assert!(meter.shows("active_power") && !meter.shows("pv_power") && !meter.takes("pv_limit"));
    }

    #[test]
    fn a_model_s_own_values_have_a_name_of_their_own() {
        let plain = builtin("sunspec").unwrap();
        assert_eq!(
            plain.of_model(METER, "active_power_l1").as_deref(),
            Some("meter[1].active_power_l1")
        );
        // Only DER models (701) have the phases of an inverter's power.
        assert_eq!(
            plain.of_model(INVERTER, "active_power_l1").as_deref(),
            Some("inverter[1].active_power_l1")
        );
        assert_eq!(plain.of_model(METER, "soc"), None);
        assert_eq!(builtin("goodwe-et").unwrap().of_model(METER, "active_power"), None);
    }
}
