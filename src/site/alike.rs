//! One warning for devices of one profile: twenty equal chargers are one thing to know.

use super::{Fault, Severity, Site};
use std::collections::BTreeMap;

/// Key, profile and words of a warning about a device.
type Said = (String, String, String);

/// Keeps the first of the warnings that say the same of devices of one profile, with the others' names; what its writes wear
/// is told with the warning about its control.
pub(super) fn merge(site: &Site, faults: &mut Vec<Fault>) {
    let about = |f: &Fault| {
        let (device, key) = f.key.strip_prefix("devices.")?.split_once('.')?;
        let profile = &site.wiring.devices.get(device)?.profile;
        let is_alike = f.severity == Severity::Warning && matches!(key, "control" | "writes_per_day");
        is_alike.then(|| (device.to_owned(), (key.to_owned(), profile.clone(), f.message.clone())))
    };
    let mut devices: BTreeMap<Said, Vec<String>> = BTreeMap::new();
    for (device, said) in faults.iter().filter_map(about) {
        devices.entry(said).or_default().push(device);
    }
    faults.retain_mut(|f| {
        let Some((device, said)) = about(f) else { return true };
        let Some(alike) = devices.get(&said).filter(|all| all.len() > 1) else {
            return true;
        };
        if alike.first() != Some(&device) {
            return false;
        }
        let others = alike[1..].join(", ");
        f.message = format!("{} (the same holds for {others})", f.message);
        true
    });
    let wear = |f: &Fault| {
        f.key
            .strip_suffix(".writes_per_day")
            .map(|device| format!("{device}.control"))
    };
    let told: BTreeMap<String, String> = faults
        .iter()
        .filter(|f| f.severity == Severity::Warning)
        .filter_map(|f| Some((wear(f)?, f.message.clone())))
        .collect();
    let controls: Vec<String> = faults
        .iter()
        .map(|f| f.key.clone())
        .filter(|k| told.contains_key(k))
        .collect();
    faults.retain(|f| wear(f).is_none_or(|control| f.severity != Severity::Warning || !controls.contains(&control)));
    for f in faults.iter_mut().filter(|f| f.severity == Severity::Warning) {
        if let Some(more) = told.get(&f.key) {
            f.message = format!("{}. {more}", f.message);
        }
    }
}
