//! Commands that are refreshed through registers that may wear, and whose budget of writes does not last a day.

use super::marks::commands;
use super::{Fault, Severity, Site};
use crate::profile::{Command, Wear};

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
            let start = profile.commands.get("genset_start").filter(|_| name == "genset_power");
            let Some(command) = profile.commands.get(name).or(start) else {
                continue;
            };
            if let Some(message) = message(name, command, device.writes_per_day) {
                found.push(Fault {
                    key: format!("devices.{}.writes_per_day", id.as_str()),
                    message,
                    severity: Severity::Warning,
                    ..at.clone()
                });
            }
        }
    }
    faults.extend(found);
}

fn message(name: &str, command: &Command, budget: u32) -> Option<String> {
    let every = command.refresh_s().filter(|_| command.wear == Wear::Unknown)?;
    let needed = (DAY_S / every).ceil();
    if f64::from(budget) >= needed {
        return None;
    }
    let minutes = (f64::from(budget) * every / 60.0).max(1.0).round();
    let loss = command.on_loss.as_deref().unwrap_or("nobody knows how");
    Some(format!(
        "{name} is refreshed every {every:.0} s and nobody says whether its registers wear: {budget} writes a day are used \
         after {minutes:.0} min; then the device falls back ({loss}) and only limits that must hold are written. Ask its \
         manufacturer; where they are RAM, set writes_per_day = {needed:.0} or more"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(wear: &str, refresh: &str) -> Command {
        let text = format!(
            "schema = \"profile/1\"\nid = \"x\"\nkind = \"evse\"\n[link]\ntransport = [\"tcp\"]\n\
             [[blocks]]\nname = \"a\"\naddr = 0\ncount = 2\nevery = \"fast\"\n[[points]]\nname = \"evse_power\"\naddr = 0\n\
             [commands.evse_current_limit]\nunit = \"A\"\nset = [{{ addr = 1, scale = 1 }}]\nwear = \"{wear}\"\n{refresh}\n"
        );
        let profile = crate::profile::parse(&text).unwrap();
        profile.commands["evse_current_limit"].clone()
    }

    #[test]
    fn a_refresh_that_a_budget_does_not_cover_is_told_with_the_number_to_set() {
        let said = |wear: &str, refresh: &str, budget| message("evse_current_limit", &command(wear, refresh), budget);
        let why = said("unknown", "refresh_s = 10\ndevice_timeout_s = 60", 24).unwrap();
        assert!(
            why.contains("after 4 min") && why.contains("writes_per_day = 8640"),
            "{why}"
        );
        // The device's own timeout asks for a refresh as well.
        assert!(said("unknown", "device_timeout_s = 60", 2_879).is_some());
        for (wear, refresh, budget) in [
            ("unknown", "device_timeout_s = 60", 2_880),
            ("unknown", "device_timeout_s = 0", 24),
            ("ram", "refresh_s = 10", 24),
            ("nonvolatile", "device_timeout_s = 60", 24),
        ] {
            assert_eq!(said(wear, refresh, budget), None, "{wear} {refresh}");
        }
    }
}
