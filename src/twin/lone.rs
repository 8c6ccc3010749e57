//! One device of any profile with a small plant behind it, so that anyone can try read, write and scan without hardware.

use crate::profile::Profile;
use crate::site::{Address, Site};

/// A site with one device of this profile, and the fewest components that give all its points and commands a meaning.
///
/// `text` is its file, where it is none of the shipped ones.
pub fn lone(profile: &Profile, text: Option<String>, host: &str, port: u16) -> Result<Site, String> {
    let name = profile.id.as_str();
    let own = text;
    let fed = components(profile);
    let mut text = String::from(HEAD);
    for (name, part) in PARTS {
        if ALWAYS.contains(&name) || fed.contains(&name) {
            text.push_str(part);
        }
    }
    text.push_str(TAIL);
    for (id, unit, own, fed) in devices(profile, name, &fed) {
        let list: Vec<String> = fed.iter().map(|c| format!("\"{c}\"")).collect();
        text.push_str(&format!(
            "[devices.{id}]\naddress = \"tcp://{host}:{port}\"\nprofile = {own:?}\nunit = {unit}\ncomponents = [{}]\n",
            list.join(", ")
        ));
    }
    // What the device does not feed goes by itself; a site file must name a device for it, which nobody will serve.
    let rest: Vec<String> = ["grid", "pv", "battery"]
        .iter()
        .filter(|c| !fed.contains(c))
        .map(|c| format!("\"{c}\""))
        .collect();
    if !rest.is_empty() {
        text.push_str(&format!(
            "[devices.rest]\naddress = \"tcp://127.0.0.1:1\"\nprofile = \"sunspec\"\ncomponents = [{}]\n",
            rest.join(", ")
        ));
    }
    let (mut site, _) = crate::site::parse("twin", &text).map_err(|faults| {
        let list: Vec<String> = faults
            .iter()
            .map(|f| format!("line {}: {}", f.line, f.message))
            .collect();
        format!("the twin of `{}` cannot be built: {}", profile.id, list.join("; "))
    })?;
    site.wiring.devices.retain(|id, _| id.as_str() != "rest");
    site.files
        .extend(own.map(|text| (format!("profiles/{name}.toml"), text)));
    if !profile.link.transport.iter().any(|t| t == "tcp") {
        for d in site.wiring.devices.values_mut() {
            d.address = Address::RtuOverTcp {
                host: host.to_owned(),
                port,
            };
        }
    }
    Ok(site)
}

fn components(p: &Profile) -> Vec<&'static str> {
    let has = |names: &[&str]| p.points.iter().any(|x| names.contains(&x.name.as_str()));
    let can = |command: &str| p.commands.contains_key(command);
    let mut fed = match p.kind.as_str() {
        "meter" => vec!["grid"],
        "pv" => vec!["pv"],
        "battery_inverter" | "battery" => vec!["battery"],
        "hybrid" | "ess_gateway" | "sunspec" => vec!["pv", "battery"],
        "evse" => vec!["ev"],
        "heatpump" => vec!["heat-pump"],
        "genset" => vec!["genset"],
        _ => vec!["washer"],
    };
    let behind = matches!(p.kind.as_str(), "hybrid" | "ess_gateway");
    let grid = p.quirks.meter_sign.is_some() || behind && has(&["active_power", "grid_import", "active_power_l1"]);
    if grid || can("grid_setpoint") && !fed.contains(&"grid") {
        fed.insert(0, "grid");
    }
    fed
}

/// The device, and where its meter answers on a unit of its own, that too: name, unit, profile, what it feeds.
fn devices<'a>(
    p: &Profile,
    name: &'a str,
    fed: &[&'static str],
) -> Vec<(&'static str, u8, &'a str, Vec<&'static str>)> {
    let unit = p.link.unit.unwrap_or(1);
    let mut all = vec![("device", unit, name, fed.to_vec())];
    if let Some(other) = p.quirks.meter_unit {
        all[0].3.retain(|c| *c != "grid");
        all.push(("meter", other, "sunspec", vec!["grid"]));
    }
    all
}

/// Components that every plant has, fed by the device or not.
const ALWAYS: [&str; 4] = ["grid", "pv", "battery", "home"];

const HEAD: &str = r#"schema = "site/1"
name = "twin"
mode = "control"
[location]
latitude = "52.37 deg"
longitude = "4.90 deg"
time_zone = "Europe/Amsterdam"
country = "NL"
[connection_point]
import_max = "25 kW"
export_max = "17 kW"
phases = 3
voltage = "230 V"
fuse = "40 A"
meter = "grid"
"#;

const PARTS: [(&str, &str); 8] = [
    ("grid", "[components.grid]\nkind = \"meter\"\n"),
    (
        "pv",
        "[components.pv]\nkind = \"pv\"\npeak = \"6 kW\"\ninverter_max = \"5.5 kW\"\ntilt = \"38 deg\"\nazimuth = \"195 deg\"\n",
    ),
    (
        "battery",
        r#"[components.battery]
kind = "battery"
capacity = "10 kWh"
soc_min = "8 %"
soc_max = "100 %"
charge_max = "5 kW"
discharge_max = "5 kW"
charge_efficiency = "95 %"
discharge_efficiency = "95 %"
standby_loss = "20 W"
wear = "0.01 EUR/kWh"
"#,
    ),
    (
        "ev",
        r#"[components.ev]
kind = "charge-point"
current_min = "6 A"
current_max = "32 A"
departure = "07:30"
energy = "14 kWh"
mode = "fast"
"#,
    ),
    (
        "heat-pump",
        r#"[components.heat-pump]
kind = "heat-pump"
electric_max = "3 kW"
electric_min = "0.6 kW"
cop_cold = "2.5 at -7 °C"
cop_mild = "4.4 at 10 °C"
[components.heat-pump.tank]
capacity = "0.58 kWh/K"
min = "30 °C"
max = "50 °C"
loss = "2.5 W/K"
[components.heat-pump.building]
loss = "150 W/K"
capacity = "9 kWh/K"
comfort_min = "20 °C"
comfort_max = "22.5 °C"
"#,
    ),
    ("genset", GENSET),
    ("washer", SHEDDABLE),
    (
        "home",
        "[components.home]\nkind = \"load\"\ndaily = \"9 kWh\"\nshape = \"household\"\nmax = \"7 kW\"\n",
    ),
];

const GENSET: &str = r#"[components.genset]
kind = "generator"
power_min = "6 kW"
power_max = "20 kW"
fuel = "0.35 EUR/kWh"
no_load_cost = "1.5 EUR/h"
start_cost = "1 EUR/start"
start_time = "10 s"
min_up = "10 min"
min_down = "5 min"
start_below = "30 %"
stop_above = "75 %"
"#;

const SHEDDABLE: &str = r#"[components.washer]
kind = "sheddable-load"
priority = 1
value = "1 EUR/kWh"
daily = "6 kWh"
shape = "flat"
max = "1 kW"
"#;

const TAIL: &str = r#"[tariff]
currency = "EUR"
[tariff.import]
kind = "flat"
price = "0.30 EUR/kWh"
[tariff.export]
kind = "flat"
price = "0.08 EUR/kWh"
[timing]
cycle = "1 s"
interval = "15 min"
horizon = "24 h"
[twin.soc_start]
battery = "55 %"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_has_a_twin() {
        for name in crate::profile::builtin_names() {
            let profile = crate::profile::builtin(name).unwrap();
            let site = lone(&profile, None, "127.0.0.1", 1502).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(
                site.wiring.devices.contains_key(&crate::site::Id::new("device")),
                "{name}"
            );
        }
    }
}
