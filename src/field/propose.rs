//! A site-file fragment for what a scan found: components with the ratings that are known, devices with their addresses.
//!
//! Pasted into a site file it passes `madang check`; what nobody could know is marked CHECK.

use super::map::{Value, Values};
use super::scan::{Confidence, FoundDevice, ScanReport, Wants};
use crate::profile::Profile;
use crate::site::{TlsFiles, command_needed, options_of, takes, unfed};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

/// Kinds of components a device would feed: those of the profile's kind for which its points show all that `check` asks for.
pub fn feeds_of(profile: &Profile, values: &Values) -> Vec<String> {
    let kinds: &[&str] = match profile.kind.as_str() {
        "meter" => &["meter"],
        "pv" => &["pv"],
        "evse" => &["charge-point"],
        "heatpump" => &["heat-pump"],
        "genset" => &["generator"],
        "battery_inverter" => &["battery"],
        "hybrid" => &["pv", "battery"],
        "ess_gateway" => &["pv", "battery", "meter"],
        _ => &[],
    };
    let absent = |name: &str| matches!(values.get(name), Some(Value::Missing));
    let is_there = |kind: &&&str| match **kind {
        // What a gateway has behind it differs.
        "pv" => profile.kind != "ess_gateway" || !absent("pv_power"),
        "battery" => !absent("soc"),
        "meter" => profile.kind == "meter" || !absent("active_power"),
        _ => true,
    };
    possible(profile, kinds.iter().filter(is_there).copied().collect())
}

/// What a SunSpec device would feed, by the models found: a battery has a state of charge, PV an inverter, a grid a meter.
pub fn feeds_of_models(profile: &Profile, values: &Values, families: &BTreeSet<&str>) -> Vec<String> {
    let shows = |name: &str| matches!(values.get(name), Some(Value::Number(_)));
    let (inverter, battery) = (families.contains("inverter") || families.contains("der"), shows("soc"));
    let pv = if battery {
        shows("pv_power") || values.contains_key("pv_power")
    } else {
        inverter
    };
    let kinds = [("pv", pv), ("battery", battery), ("meter", families.contains("meter"))];
    possible(
        profile,
        kinds
            .into_iter()
            .filter(|(_, there)| *there)
            .map(|(kind, _)| kind)
            .collect(),
    )
}

/// Without the kinds whose roles the profile cannot fill: nothing is proposed that `check` refuses.
fn possible(profile: &Profile, kinds: Vec<&str>) -> Vec<String> {
    let unfed: Vec<&str> = unfed(profile, &kinds).into_iter().map(|(kind, _)| kind).collect();
    let moved = |kind: &str| kind == "pv" || command_needed(kind).is_none_or(|c| takes(profile, c));
    let good = kinds.into_iter().filter(|k| !unfed.contains(k) && moved(k));
    good.map(str::to_owned).collect()
}

/// What the site file must say besides, for these components.
pub fn wants(profile: &Profile, feeds: &[String]) -> Wants {
    let unlimited = !profile.takes("pv_limit");
    let moves = feeds.iter().filter(|k| *k != "pv" || !unlimited);
    let commands = moves
        .filter_map(|kind| command_needed(kind))
        .filter_map(|c| profile.commands.get(c));
    let needed: BTreeSet<&str> = commands.flat_map(options_of).collect();
    let option = |name: &str| {
        let known = profile.options.get(name).filter(|o| o.default.is_none())?;
        Some((name.to_owned(), known.unit.clone(), known.note.clone()))
    };
    Wants {
        unlimited,
        options: needed.into_iter().filter_map(option).collect(),
    }
}

/// The fragment; empty where nothing was found. `currency` is the site's.
pub fn fragment(report: &ScanReport, currency: &str) -> String {
    let mut out = String::new();
    let (mut components, mut devices) = (BTreeSet::new(), BTreeSet::new());
    for device in &report.found {
        out += &heading(device);
        let mut names = Vec::new();
        for kind in &device.feeds {
            let name = free(base_name(kind), &mut components);
            out += &component(&name, kind, device, currency);
            names.push(name);
        }
        let name = free(device_name(device), &mut devices);
        out += &device_table(&name, device, report, &names);
    }
    out
}

/// `grid`, `grid-2`, …
fn free(base: &str, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|i| format!("{base}-{i}"));
    let name = std::iter::once(base.to_owned())
        .chain(numbered)
        .find(|n| !taken.contains(n))
        .unwrap_or_else(|| base.to_owned());
    taken.insert(name.clone());
    name
}

fn base_name(kind: &str) -> &str {
    match kind {
        "meter" => "grid",
        "charge-point" => "car",
        other => other,
    }
}

fn device_name(device: &FoundDevice) -> &'static str {
    match device.feeds.first().map(String::as_str) {
        Some("meter") => "meter",
        Some("charge-point") => "charger",
        Some("heat-pump") => "heat-pump",
        Some("generator") => "genset",
        Some("pv" | "battery") => "inverter",
        _ => "device",
    }
}

fn heading(device: &FoundDevice) -> String {
    let said = |key: &str| device.identity[key].as_str().filter(|t| !t.is_empty());
    let parts: Vec<&str> = ["manufacturer", "model", "version", "serial"]
        .into_iter()
        .filter_map(said)
        .collect();
    let parts = if parts.is_empty() {
        "no identity".to_owned()
    } else {
        parts.join(", ")
    };
    let sure = match device.confidence {
        Confidence::Confirmed => "confirmed",
        Confidence::Likely => "likely: its values fit",
        Confidence::Possible => "only possible: compare its values with its own display",
    };
    let clean: String = parts.chars().filter(|c| !c.is_control()).collect();
    format!("# {} at unit {}: {clean} ({sure})\n", device.profile, device.unit_id)
}

fn component(name: &str, kind: &str, device: &FoundDevice, currency: &str) -> String {
    let kw = |rating: &str, guess: f64| quantity(device, rating, guess, "kW");
    let mut t = format!("[components.{name}]\nkind = \"{kind}\"\n");
    let lines = match kind {
        "pv" => pv(device) + if device.wants.unlimited { UNLIMITED } else { "" },
        "battery" => format!(
            "capacity = {}\ncharge_max = {}\ndischarge_max = {}\n",
            quantity(device, "capacity", 10.0, "kWh"),
            kw("max_charge", 3.0),
            kw("max_discharge", 3.0)
        ),
        "charge-point" => "current_max = \"16 A\"       # CHECK: fuse of the charger\n".to_owned(),
        "heat-pump" => heat_pump().to_owned(),
        "generator" => format!(
            "power_max = {}\nfuel = \"0.40 {currency}/kWh\"   # CHECK: fuel per electric kWh\n",
            kw("rated_power", 10.0)
        ),
        _ => String::new(),
    };
    t += &lines;
    t.push('\n');
    t
}

const UNLIMITED: &str = "curtailable = false       # its profile has no limit for PV\n";

/// A device says what its inverter gives; how much glass hangs on it nobody asked.
fn pv(device: &FoundDevice) -> String {
    match device.ratings.get("inverter_max") {
        Some(kw) if !device.ratings.contains_key("pv_max") => format!(
            "peak = \"{kw} kW\"          # CHECK: power of the modules; the inverter's is taken\n\
             inverter_max = \"{kw} kW\"          # as the device says\n"
        ),
        _ => format!("peak = {}\n", quantity(device, "pv_max", 5.0, "kW")),
    }
}

fn quantity(device: &FoundDevice, rating: &str, guess: f64, unit: &str) -> String {
    match device.ratings.get(rating) {
        Some(v) => format!("\"{v} {unit}\"          # as the device says"),
        None => format!("\"{guess} {unit}\"          # CHECK: from the type plate"),
    }
}

fn heat_pump() -> &'static str {
    "electric_max = \"3 kW\"       # CHECK: from the type plate\n\
     cop_cold = \"2.5 at -7 °C\"   # CHECK: data sheet\n\
     cop_mild = \"4.4 at 10 °C\"   # CHECK: data sheet\n\
     tank = { capacity = \"0.35 kWh/K\", min = \"30 °C\", max = \"50 °C\", loss = \"2 W/K\" }   # CHECK: 300 litres\n\
     building = { loss = \"150 W/K\", capacity = \"8 kWh/K\", comfort_min = \"20 °C\", comfort_max = \"22.5 °C\" }   # CHECK\n"
}

/// The files as they were given; the site file sees relative ones from its own folder.
fn tls_table(files: &TlsFiles) -> String {
    let path = |p: &Option<PathBuf>| p.as_ref().map(|p| p.display().to_string());
    let all = [
        ("ca", path(&files.ca)),
        ("cert", path(&files.cert)),
        ("key", path(&files.key)),
        ("name", files.name.clone()),
    ];
    let given = all.into_iter().filter_map(|(key, v)| Some(format!("{key} = {:?}", v?)));
    format!("tls = {{ {} }}", given.collect::<Vec<_>>().join(", "))
}

fn device_table(name: &str, device: &FoundDevice, report: &ScanReport, components: &[String]) -> String {
    let list: Vec<String> = components.iter().map(|c| format!("\"{c}\"")).collect();
    let mut t = format!("[devices.{name}]\n");
    // Writing to a string cannot fail.
    let _ok = writeln!(t, "address = \"{}\"", report.address);
    if let Some(files) = &report.files {
        let _ok = writeln!(t, "{}", tls_table(files));
    }
    let _ok = writeln!(t, "profile = \"{}\"", device.profile);
    if device.unit_id != 1 {
        let _ok = writeln!(t, "unit = {}", device.unit_id);
    }
    let _ok = writeln!(t, "components = [{}]", list.join(", "));
    if !device.wants.options.is_empty() {
        let list = device.wants.options.iter().map(|(option, unit, note)| {
            let known = device.ratings.get("inverter_max").filter(|_| option == "rated_power");
            let (value, from) = known.map_or((5.0, format!("CHECK: {note}")), |kw| {
                (*kw, "as the device says".to_owned())
            });
            format!("options.{option} = \"{value} {unit}\"      # {from}\n")
        });
        t.extend(list);
    }
    if device.confidence != Confidence::Confirmed {
        t += "# identity_confirmed = true   # write this once you are sure that it is the right device\n";
    }
    if device.feeds.iter().any(|kind| kind != "meter") {
        t += "# control = true              # write this when you have tried its commands: madang commission\n";
    }
    t.push('\n');
    t
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "schema = \"site/1\"\nname = \"x\"\n[location]\nlatitude = \"52 deg\"\nlongitude = \"5 deg\"\n\
        time_zone = \"Europe/Amsterdam\"\ncountry = \"NL\"\n[connection_point]\nimport_max = \"8 kW\"\nexport_max = \"8 kW\"\n\
        fuse = \"25 A\"\nmeter = \"main\"\n[components.home]\nkind = \"load\"\ndaily = \"9 kWh\"\nmax = \"7 kW\"\n\
        [components.main]\nkind = \"meter\"\n[devices.main]\naddress = \"tcp://10.0.0.1:502\"\nprofile = \"eastron-sdm630\"\n\
        components = [\"main\"]\n[tariff]\ncurrency = \"EUR\"\n[tariff.import]\nkind = \"flat\"\nprice = \"0.3 EUR/kWh\"\n";

    /// A scan that found one device of this profile, all of whose points show something.
    fn found(profile: &Profile) -> ScanReport {
        let names = profile
            .points
            .iter()
            .map(|p| p.name.clone())
            .chain(profile.derived.iter().map(|d| d.name.clone()));
        let mut values: Values = names.map(|n| (n, Value::Number(1.0))).collect();
        let feeds = if profile.sunspec {
            for name in ["soc", "pv_power", "active_power"] {
                values.insert(name.to_owned(), Value::Number(1.0));
            }
            feeds_of_models(profile, &values, &["inverter", "meter"].into())
        } else {
            feeds_of(profile, &values)
        };
        let device = FoundDevice {
            unit_id: 3,
            profile: profile.id.clone(),
            identity: serde_json::json!({}),
            confidence: Confidence::Likely,
            wants: wants(profile, &feeds),
            evidence: vec![],
            also: vec![],
            feeds,
            ratings: Default::default(),
        };
        ScanReport {
            address: "tcp://10.0.0.2:502".into(),
            files: None,
            found: vec![device],
            unknown: vec![],
            notes: vec![],
            requests: 0,
        }
    }

    #[test]
    fn what_is_proposed_for_any_profile_passes_the_check() {
        let folder = tempfile::tempdir().unwrap();
        for name in crate::profile::builtin_names() {
            let profile = crate::profile::builtin(name).unwrap();
            let report = found(&profile);
            let feeds = &report.found[0].feeds;
            // SG Ready takes no power, so that nothing of it can be planned; what a relay switches nobody can see.
            let feeds_nothing = ["stiebel-wpm-sg-ready", "generic-relay"].contains(&name);
            assert_eq!(feeds.is_empty(), feeds_nothing, "{name}: {feeds:?}");
            if profile.kind == "hybrid" {
                assert!(
                    feeds.starts_with(&["pv".to_owned(), "battery".to_owned()]),
                    "{name}: {feeds:?}"
                );
            }
            let text = format!("{}{}", SITE, fragment(&report, "EUR"));
            std::fs::write(folder.path().join("site.toml"), &text).unwrap();
            if let Err(crate::site::LoadError::Faults(faults)) = crate::site::load(folder.path()) {
                panic!("{name}: {faults:#?}\n{text}");
            }
        }
    }
}
