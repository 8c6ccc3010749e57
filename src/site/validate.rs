//! What no single key can say: references, circles, double addresses, components without a device.
//!
//! Works on the names and words of the file itself, not on what was read of it: one bad rating hides no other fault.

use super::reader::Section;
use super::values::nearest;
use super::wiring::Address;
use crate::reading::Quantity;
use std::collections::BTreeMap;

pub(super) type Tables<'a, 't> = Vec<(String, Section<'a, 't>)>;

/// The named tables of a file.
pub(super) struct Outline<'a, 't> {
    pub circuits: Tables<'a, 't>,
    pub components: Tables<'a, 't>,
    pub devices: Tables<'a, 't>,
}

impl Outline<'_, '_> {
    fn kind(&self, component: &str) -> Option<&str> {
        find(&self.components, component)?.peek("kind")
    }
    fn is_fed(&self, component: &str) -> bool {
        let feeds = |d: &Section| d.peek_list("components").contains(&component);
        self.devices.iter().any(|(_, d)| feeds(d))
    }
}

pub(super) fn find<'o, 'a, 't>(tables: &'o Tables<'a, 't>, name: &str) -> Option<&'o Section<'a, 't>> {
    tables.iter().find(|(n, _)| n == name).map(|(_, s)| s)
}

/// Reports everything that does not fit together.
pub fn validate(root: &Section) {
    let outline = Outline {
        circuits: root.named("circuits", ""),
        components: root.named("components", ""),
        devices: root.named("devices", ""),
    };
    connection(root, &outline);
    circuits(&outline);
    components(root, &outline);
    for (_, section) in &outline.devices {
        device(section, &outline);
    }
    addresses(&outline);
    proxies(root, &outline);
    twin(root, &outline);
    super::sense::check(root, &outline);
}

/// "there is no circuit `cellar`; did you mean `cellars`?"
fn unknown(what: &str, name: &str, tables: &Tables) -> String {
    let names = || tables.iter().map(|(n, _)| n.as_str());
    let hint = match nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if tables.is_empty() => "there is none".to_owned(),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    format!("there is no {what} `{name}`; {hint}")
}

fn connection(root: &Section, outline: &Outline) {
    if root.is_absent("connection_point") {
        let forming = |(_, c): &(String, Section)| c.peek_flag("grid_forming") == Some(true);
        if !outline.components.iter().any(forming) {
            root.fault(
                "connection_point",
                "without it the site is an island, and an island needs a battery with grid_forming = true",
            );
        }
        return;
    }
    let section = root.section("connection_point", false, "");
    let Some(meter) = section.peek("meter") else { return };
    if find(&outline.components, meter).is_none() {
        section.fault("meter", unknown("component", meter, &outline.components));
    } else if let Some(kind) = outline.kind(meter).filter(|k| *k != "meter") {
        section.fault("meter", format!("`{meter}` is a {kind}, not a meter"));
    }
}

fn circuits(outline: &Outline) {
    for (name, section) in &outline.circuits {
        let Some(parent) = section.peek("parent") else { continue };
        if find(&outline.circuits, parent).is_none() {
            section.fault("parent", unknown("circuit", parent, &outline.circuits));
        }
        let mut way = vec![name.as_str()];
        let mut at = Some(parent);
        while let Some(up) = at {
            if way.contains(&up) {
                let circle = format!("circuits go round in a circle: {} → {up}", way.join(" → "));
                section.fault("parent", circle);
                break;
            }
            way.push(up);
            at = find(&outline.circuits, up).and_then(|c| c.peek("parent"));
        }
    }
}

fn components(root: &Section, outline: &Outline) {
    let mut residual: Option<&str> = None;
    for (name, section) in &outline.components {
        component(root, name, section, outline);
        if section.peek("kind") != Some("load") || outline.is_fed(name) {
            continue;
        }
        match residual {
            None => residual = Some(name),
            Some(first) => section.fault(
                "kind",
                format!("no device feeds it, nor `{first}`: only one load may be what the others leave in the balance"),
            ),
        }
    }
}

fn component(root: &Section, name: &str, section: &Section, outline: &Outline) {
    if let Some(circuit) = section.peek("circuit")
        && find(&outline.circuits, circuit).is_none()
    {
        section.fault("circuit", unknown("circuit", circuit, &outline.circuits));
    }
    if !outline.is_fed(name) && section.peek("kind").is_some_and(|k| k != "load") {
        section.fault(
            "kind",
            "no device feeds this component; name it in a device's `components`",
        );
    }
    if section.peek_flag("grid_forming") == Some(true) && !root.is_absent("connection_point") {
        section.warn(
            "grid_forming",
            "the site has a connection point; the battery is not controlled",
        );
    }
    let single = root.section("connection_point", false, "").peek_whole("phases") == Some(1);
    if single && section.peek("phases").is_some_and(|p| p != "L1") {
        section.fault("phases", "the connection point has one phase; write L1 or leave it out");
    }
}

fn device(section: &Section, outline: &Outline) {
    let fed = section.peek_list("components");
    for name in &fed {
        if find(&outline.components, name).is_none() {
            section.fault("components", unknown("component", name, &outline.components));
        }
    }
    for target in section.section("points", false, "").names() {
        match target.split_once('.') {
            Some((component, quantity)) if fed.contains(&component) && Quantity::parse(quantity).is_some() => {}
            _ => section.fault(
                "points",
                format!("`{target}` should be \"<component>.<quantity>\" of one of this device's components, for example \"pv.active_power\""),
            ),
        }
    }
    let serial = section.peek("address").and_then(|a| Address::parse(a).ok());
    if serial.is_some_and(|a| a.is_rtu()) && section.peek_whole("unit") == Some(0) {
        section.fault(
            "unit",
            "0 is for all at once on a serial line, and nobody answers; units are 1 to 247",
        );
    }
    if fed.is_empty() {
        section.warn("components", "feeds no component: it is read and shown, nothing else");
    }
    if section.peek_flag("control") == Some(true) {
        section.warn(
            "control",
            "its commands are not verified on this very model; with mode = \"control\" it is controlled because its owner says so",
        );
    }
}

/// The same device twice, or one peer spoken to in two ways: a link is one socket. One unit may be read by two profiles, where
/// its maker's values stand in two maps: both share the connection and its queue.
fn addresses(outline: &Outline) {
    /// Device and the profile it names.
    type Reader<'a> = (&'a str, Option<&'a str>);
    let mut taken: BTreeMap<(String, i64), Vec<Reader<'_>>> = BTreeMap::new();
    let mut peers: BTreeMap<String, (String, &str)> = BTreeMap::new();
    for (name, section) in &outline.devices {
        let Some(address) = section.peek("address").and_then(|a| Address::parse(a).ok()) else {
            continue;
        };
        let profile = section.peek("profile");
        let usual = || profile.and_then(crate::profile::builtin).and_then(|p| p.link.unit);
        let unit = section
            .peek_whole("unit")
            .unwrap_or_else(|| usual().map_or(1, i64::from));
        let peer = address.peer();
        let (shown, other) = peers.entry(peer.clone()).or_insert((address.to_string(), name));
        if *shown != address.to_string() {
            section.fault(
                "address",
                format!("`{other}` has {shown}, which is the same line; a line is opened once, in one way"),
            );
        }
        let there = taken.entry((peer, unit)).or_default();
        if let Some((other, _)) = there.iter().find(|(_, p)| *p == profile) {
            section.fault(
                "address",
                format!("{address} unit {unit} is already the address of `{other}`"),
            );
        } else if let Some((other, _)) = there.first() {
            section.warn(
                "address",
                format!("{address} unit {unit} is that of `{other}` too: right only where one device has two maps; they share one connection"),
            );
        }
        there.push((name, profile));
    }
}

/// A proxy reads one of the devices, and no two listen at one place.
fn proxies(root: &Section, outline: &Outline) {
    let mut taken: Vec<&str> = Vec::new();
    let rows = root.rows("proxy", false, "");
    for row in &rows {
        if let Some(device) = row.peek("device")
            && find(&outline.devices, device).is_none()
        {
            row.fault("device", unknown("device", device, &outline.devices));
        }
        let Some(listen) = row.peek("listen") else { continue };
        if taken.contains(&listen) {
            row.fault("listen", format!("another proxy listens at {listen} already"));
        } else if !listen.starts_with("127.") && !listen.starts_with("[::1]") {
            row.warn("listen", "whoever reaches this address may read the device");
        }
        taken.push(listen);
    }
}

fn twin(root: &Section, outline: &Outline) {
    let twin = root.section("twin", false, "");
    for (key, kind, what) in [
        ("visits", "charge-point", "charge point"),
        ("soc_start", "battery", "battery"),
    ] {
        let inner = twin.section(key, false, "");
        for name in inner.names() {
            if find(&outline.components, name).is_none() {
                inner.fault(name, unknown("component", name, &outline.components));
            } else if outline.kind(name).is_some_and(|k| k != kind) {
                inner.fault(name, format!("`{name}` is not a {what}"));
            }
        }
    }
}

/// On a single-phase connection every component hangs on L1.
pub fn phases_of(connection_phases: Option<u8>, phases: [bool; 3]) -> [bool; 3] {
    if connection_phases == Some(1) {
        [true, false, false]
    } else {
        phases
    }
}
