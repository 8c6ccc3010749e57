//! Commands that are refreshed through registers that may wear, and whose budget of writes does not last a day.

use super::marks::commands;
use super::{Fault, Severity, Site};
use crate::profile::{Profile, REFRESH_S, Wear};

const DAY_S: f64 = 86_400.0;

/// Warns where a device that may be controlled would be left alone within the day. Beside its `control` key, for what it
/// lacks is not there.
pub(super) fn warn(site: &Site, faults: &mut Vec<Fault>) {
    let mut found = Vec::new();
    for (id, device) in site.wiring.devices.iter().filter(|(_, d)| d.control) {
        let place = format!("devices.{}.control", id.as_str());
        let (Some(at), Some(profile)) = (faults.iter().find(|f| f.key == place), site.profile(&device.profile)) else {
            continue;
        };
        for name in commands(site, device) {
            let Some(message) = refreshed(&profile, name).and_then(|r| r.message(name, device.writes_per_day)) else {
                continue;
            };
            found.push(Fault {
                key: format!("devices.{}.writes_per_day", id.as_str()),
                message,
                severity: Severity::Warning,
                ..at.clone()
            });
        }
    }
    faults.extend(found);
}

/// A command that is refreshed through registers of which nobody says whether they wear.
struct Refreshed<'p> {
    every_s: f64,
    on_loss: &'p str,
}

fn refreshed<'p>(profile: &'p Profile, name: &str) -> Option<Refreshed<'p>> {
    let start = profile.commands.get("genset_start").filter(|_| name == "genset_power");
    let Some(command) = profile.commands.get(name).or(start) else {
        let by_model = profile.sunspec && matches!(name, "battery_power" | "pv_limit");
        return (by_model && profile.quirks.wear() == Wear::Unknown).then_some(Refreshed {
            every_s: REFRESH_S,
            on_loss: "its reversion time of 60 s elapses",
        });
    };
    Some(Refreshed {
        every_s: command.refresh_s().filter(|_| command.wear == Wear::Unknown)?,
        on_loss: command.on_loss.as_deref().unwrap_or("nobody knows how"),
    })
}

impl Refreshed<'_> {
    fn message(&self, name: &str, budget: u32) -> Option<String> {
        let Self { every_s, on_loss } = self;
        let needed = (DAY_S / every_s).ceil();
        if f64::from(budget) >= needed {
            return None;
        }
        let minutes = (f64::from(budget) * every_s / 60.0).max(1.0).round();
        Some(format!(
            "{name} is refreshed every {every_s:.0} s and nobody says whether its registers wear: {budget} writes a day are \
             used after {minutes:.0} min; then the device falls back ({on_loss}) and only limits that must hold are written. \
             Ask its manufacturer; where they are RAM, set writes_per_day = {needed:.0} or more"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(wear: &str, refresh: &str) -> Profile {
        let text = format!(
            "schema = \"profile/1\"\nid = \"x\"\nkind = \"evse\"\n[link]\ntransport = [\"tcp\"]\n\
             [[blocks]]\nname = \"a\"\naddr = 0\ncount = 2\nevery = \"fast\"\n[[points]]\nname = \"evse_power\"\naddr = 0\n\
             [commands.evse_current_limit]\nunit = \"A\"\nset = [{{ addr = 1, scale = 1 }}]\nwear = \"{wear}\"\n{refresh}\n"
        );
        crate::profile::parse(&text).unwrap()
    }

    fn said(profile: &Profile, name: &str, budget: u32) -> Option<String> {
        refreshed(profile, name)?.message(name, budget)
    }

    #[test]
    fn a_refresh_that_a_budget_does_not_cover_is_told_with_the_number_to_set() {
        let limit = |wear: &str, refresh: &str, budget| said(&profile(wear, refresh), "evse_current_limit", budget);
        let why = limit("unknown", "refresh_s = 10\ndevice_timeout_s = 60", 24).unwrap();
        assert!(
            why.contains("after 4 min") && why.contains("writes_per_day = 8640"),
            "{why}"
        );
        // The device's own timeout asks for a refresh as well.
        assert!(limit("unknown", "device_timeout_s = 60", 2_879).is_some());
        for (wear, refresh, budget) in [
            ("unknown", "device_timeout_s = 60", 2_880),
            ("unknown", "device_timeout_s = 0", 24),
            ("ram", "refresh_s = 10", 24),
            ("nonvolatile", "device_timeout_s = 60", 24),
        ] {
            assert_eq!(limit(wear, refresh, budget), None, "{wear} {refresh}");
        }
    }

    #[test]
    fn no_sunspec_model_says_that_its_registers_are_ram() {
        let gen24 = crate::profile::builtin("fronius-gen24").unwrap();
        for name in ["battery_power", "pv_limit"] {
            let why = said(&gen24, name, 24).unwrap();
            assert!(
                why.contains("after 8 min") && why.contains("writes_per_day = 4320"),
                "{why}"
            );
            assert_eq!(said(&gen24, name, 4_320), None);
        }
        let mut ram = gen24;
        ram.quirks = toml::from_str("wear = \"ram\"").unwrap();
        assert_eq!(said(&ram, "battery_power", 24), None);
    }
}
