//! What no single key can say: references, circles, double addresses, devices without a job.

use super::plant::*;
use super::reader::Section;
use super::{Device, Site};
use std::collections::BTreeMap;

/// Reports everything that does not fit together.
pub fn validate(root: &Section, site: &Site) {
    let devices = root.named("devices", "");
    let components = root.named("components", "");
    for (name, section) in &components {
        component(section, name, site);
    }
    circuits(root, &site.plant);
    connection(root, &site.plant);
    for (name, section) in &devices {
        if let Some(d) = site.wiring.devices.get(name.as_str()) {
            device(section, d, site);
        }
    }
    addresses(&devices, site);
    twin(root, site);
}

fn known(map: &BTreeMap<Id, impl Sized>) -> String {
    if map.is_empty() {
        "none".into()
    } else {
        map.keys().map(Id::as_str).collect::<Vec<_>>().join(", ")
    }
}

fn component(section: &Section, name: &str, site: &Site) {
    let Some(c) = site.plant.components.get(name) else {
        return;
    };
    if let Some(circuit) = &c.circuit {
        if !site.plant.circuits.contains_key(circuit) {
            section.fault(
                "circuit",
                format!(
                    "there is no circuit `{circuit}`; there are {}",
                    known(&site.plant.circuits)
                ),
            );
        }
    }
    let fed = site
        .wiring
        .devices
        .values()
        .any(|d| d.components.iter().any(|i| i.as_str() == name));
    if !fed && !matches!(c.kind, Kind::Load(_)) {
        section.fault(
            "kind",
            "no device feeds this component; name it in a device's `components`",
        );
    }
    if let Kind::Battery(b) = &c.kind {
        if b.grid_forming && site.plant.connection.is_some() {
            section.warn(
                "grid_forming",
                "the site has a connection point; the battery is not controlled",
            );
        }
    }
}

fn circuits(root: &Section, plant: &Plant) {
    for (name, section) in root.named("circuits", "") {
        let Some(c) = plant.circuits.get(name.as_str()) else {
            continue;
        };
        if let Some(parent) = &c.parent {
            if !plant.circuits.contains_key(parent) {
                section.fault(
                    "parent",
                    format!("there is no circuit `{parent}`; there are {}", known(&plant.circuits)),
                );
            }
        }
        let mut seen = vec![name.clone()];
        let mut at = c.parent.clone();
        while let Some(up) = at {
            if seen.iter().any(|s| s == up.as_str()) {
                section.fault(
                    "parent",
                    format!("circuits go round in a circle: {} → {up}", seen.join(" → ")),
                );
                break;
            }
            seen.push(up.to_string());
            at = plant.circuits.get(&up).and_then(|c| c.parent.clone());
        }
    }
}

fn connection(root: &Section, plant: &Plant) {
    let section = root.section("connection_point", false, "");
    match &plant.connection {
        Some(c) => match plant.components.get(&c.meter).map(|m| &m.kind) {
            Some(Kind::Meter(_)) => {}
            Some(other) => section.fault("meter", format!("`{}` is a {}, not a meter", c.meter, other.name())),
            None => section.fault(
                "meter",
                format!(
                    "there is no component `{}`; there are {}",
                    c.meter,
                    known(&plant.components)
                ),
            ),
        },
        None => {
            let forming = plant
                .components
                .values()
                .any(|c| matches!(&c.kind, Kind::Battery(b) if b.grid_forming));
            if !forming {
                root.fault(
                    "connection_point",
                    "without it the site is an island, and an island needs a battery with grid_forming = true",
                );
            }
        }
    }
}

fn device(section: &Section, d: &Device, site: &Site) {
    for component in &d.components {
        if !site.plant.components.contains_key(component) {
            section.fault(
                "components",
                format!(
                    "there is no component `{component}`; there are {}",
                    known(&site.plant.components)
                ),
            );
        }
    }
    for target in d.points.keys() {
        let fits = target
            .split_once('.')
            .is_some_and(|(c, _)| d.components.iter().any(|i| i.as_str() == c));
        if !fits {
            section.fault(
                "points",
                format!("`{target}` should be \"<component>.<quantity>\" of one of this device's components"),
            );
        }
    }
    if d.components.is_empty() {
        section.warn("components", "feeds no component: it is read and shown, nothing else");
    }
    if d.control && site.plant.mode == Mode::Control {
        section.warn(
            "control",
            "its commands are not verified on this very model; it is controlled because its owner says so",
        );
    }
}

fn addresses(devices: &[(String, Section)], site: &Site) {
    let mut taken: BTreeMap<(String, u8), &str> = BTreeMap::new();
    // In the order of the file, so that the later one is at fault.
    let mut in_order: Vec<_> = devices.iter().collect();
    in_order.sort_by_key(|(_, section)| section.span().start);
    for (name, section) in in_order {
        let Some(d) = site.wiring.devices.get(name.as_str()) else {
            continue;
        };
        if let Some(other) = taken.insert((d.address.to_string(), d.unit), name) {
            section.fault(
                "address",
                format!("{} unit {} is already the address of `{other}`", d.address, d.unit),
            );
        }
    }
}

fn twin(root: &Section, site: &Site) {
    let Some(config) = &site.twin else { return };
    let section = root.section("twin", false, "");
    for id in config.visits.keys() {
        if !matches!(
            site.plant.components.get(id).map(|c| &c.kind),
            Some(Kind::ChargePoint(_))
        ) {
            section.fault("visits", format!("`{id}` is not a charge point"));
        }
    }
    for id in config.soc_start.keys() {
        if !matches!(site.plant.components.get(id).map(|c| &c.kind), Some(Kind::Battery(_))) {
            section.fault("soc_start", format!("`{id}` is not a battery"));
        }
    }
}
