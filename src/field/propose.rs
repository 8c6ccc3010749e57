//! A site-file fragment for what a scan found: components with the ratings that are known, devices with their addresses.
//!
//! Pasted into a site file it passes `madang check`; what nobody could know is marked CHECK.

use super::map::{Value, Values};
use super::scan::{Confidence, FoundDevice, ScanReport};
use crate::profile::Profile;
use crate::site::TlsFiles;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;

/// Kinds of components a device would feed, from the profile's kind and the points that show something.
pub fn feeds_of(profile: &Profile, values: &Values) -> Vec<String> {
    let shows = |name: &str| matches!(values.get(name), Some(Value::Number(_)));
    let kinds: Vec<&str> = match profile.kind.as_str() {
        "meter" => vec!["meter"],
        "pv" => vec!["pv"],
        "evse" => vec!["charge-point"],
        "heatpump" => vec!["heat-pump"],
        "genset" => vec!["generator"],
        "battery_inverter" => vec!["battery"],
        "hybrid" => vec!["pv", "battery"],
        "ess_gateway" => [("pv_power", "pv"), ("soc", "battery"), ("active_power", "meter")]
            .into_iter()
            .filter(|(point, _)| shows(point))
            .map(|(_, kind)| kind)
            .collect(),
        "sunspec" => sunspec(&shows),
        _ => vec![],
    };
    kinds.into_iter().map(str::to_owned).collect()
}

/// A battery has a state of charge, a meter counts import as well; what is left generates.
fn sunspec(shows: &dyn Fn(&str) -> bool) -> Vec<&'static str> {
    match (shows("soc"), shows("pv_power"), shows("energy_import")) {
        (true, true, _) => vec!["pv", "battery"],
        (true, false, _) => vec!["battery"],
        (false, _, true) => vec!["meter"],
        (false, ..) if shows("active_power") => vec!["pv"],
        (false, ..) => vec![],
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
        "pv" => pv(device),
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
    if device.confidence != Confidence::Confirmed {
        t += "# identity_confirmed = true   # write this once you are sure that it is the right device\n";
    }
    if device.feeds.iter().any(|kind| kind != "meter") {
        t += "# control = true              # write this when you have tried its commands: madang commission\n";
    }
    t.push('\n');
    t
}
