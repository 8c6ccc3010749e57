//! Reads site.toml and reports every fault at once.

use super::parse_components::component;
use super::parse_ratings::{is_in, or_any, price, price_opt};
use super::parse_tariff::tariff;
use super::parse_wiring::{device, twin};
use super::plant::*;
use super::reader::{Reader, Section};
use super::validate::{phases_of, validate};
use super::wiring::Wiring;
use super::{Site, TwinConfig};
use crate::units::{Angle, Current, Power, Price, Voltage, parse_duration, parse_money_per};
use chrono::TimeDelta;
use serde::Serialize;
use std::collections::BTreeMap;
use toml::de::DeTable;

/// A fault of a site file, with its place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    pub file: String,
    /// 1-based.
    pub line: usize,
    pub key: String,
    pub message: String,
    pub severity: Severity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    /// Works, but people should know (control of unverified commands, estimated values).
    Warning,
}

/// Parses and validates; `Err` holds all faults, `Ok` may carry warnings.
pub fn parse(file: &str, text: &str) -> Result<(Site, Vec<Fault>), Vec<Fault>> {
    let reader = Reader::new(file, text);
    let (document, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        let span = error.span().unwrap_or(0..0);
        reader.fault(&span, "", format!("not TOML: {}", error.message()));
    }
    let root = Section::root(&reader, document.get_ref());
    let site = read(&root);
    validate(&root);
    let faults = reader.into_faults();
    match site {
        Some(site) if faults.iter().all(|f| f.severity == Severity::Warning) => Ok((site, faults)),
        _ => Err(faults),
    }
}

/// Reads the whole file; `None` where something needed is missing or wrong (each is reported).
pub fn read(root: &Section) -> Option<Site> {
    root.word("schema", &[("site/1", ())], None, "format of this file");
    let name = root.parsed("name", "name of the site: a-z, 0-9 and -", name);
    let title_en = root.text_opt("title_en", "shown to people");
    let title_ko = root.text_opt("title_ko", "shown to people, Korean");
    let modes = [("observe", Mode::Observe), ("control", Mode::Control)];
    let mode = root.word(
        "mode",
        &modes,
        Some("observe"),
        "observe: reads, plans, shows what it would write",
    );
    let location = location(&root.section("location", true, "where the site is"));
    let connection = connection(&root.section(
        "connection_point",
        false,
        "where the site meets the utility; absent: an island",
    ));
    let circuits = circuits(root);
    let tz = location.as_ref().map_or(chrono_tz::UTC, |l| l.time_zone);
    let country = location.as_ref().map_or("", |l| l.country.as_str());
    let tariff = tariff(&root.section("tariff", true, "what energy costs"), tz, country);
    // Known also where the rest of the tariff is faulty: one fault does not make every price another.
    let currency = super::parse_tariff::currency_of(root);
    let phases = connection.as_ref().and_then(|c| c.as_ref()).map(|c| c.phases);
    let components = components(root, currency, phases);
    let devices = devices(root);
    let proxies = root.rows(
        "proxy",
        false,
        "lets other masters read a device over the controller's own connection",
    );
    let proxies: Option<Vec<_>> = proxies.iter().map(super::parse_wiring::proxy).collect();
    let objective = objective(&root.section("objective", false, "what the plan minimises"), currency);
    let timing = timing(&root.section("timing", false, "cycle and intervals"));
    let telemetry = telemetry(&root.section("telemetry", false, "where samples go"));
    let twin: Option<TwinConfig> = twin(&root.section("twin", false, "behaviour of the digital twin"));
    root.finish();
    let name = name?;
    let plant = Plant {
        title_en: title_en.unwrap_or_else(|| name.clone()),
        title_ko: title_ko.unwrap_or_else(|| name.clone()),
        name: Id::new(&name),
        mode: mode?,
        location: location?,
        connection: connection?,
        circuits: circuits?,
        components: components?,
        tariff: tariff?,
        objective: objective?,
        timing: timing?,
        telemetry: telemetry?,
    };
    Some(Site {
        plant,
        wiring: Wiring {
            devices: devices?,
            proxies: proxies?,
        },
        twin,
        folder: None,
        files: BTreeMap::new(),
    })
}

fn name(text: &str) -> Result<String, String> {
    let good = !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if good {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not a name; use a-z, 0-9 and -"))
    }
}

/// Tables under names; all are read before any is given up.
fn by_name<T>(
    root: &Section,
    key: &str,
    doc: &'static str,
    one: impl Fn(&Section) -> Option<T>,
) -> Option<BTreeMap<Id, T>> {
    let mut all = Some(BTreeMap::new());
    for (label, section) in root.named(key, doc) {
        let read = one(&section);
        let label = match name(&label) {
            Ok(label) => label,
            Err(why) => {
                root.reader().fault(&section.span(), &section.path, why);
                continue;
            }
        };
        all = match (all, read) {
            (Some(mut map), Some(value)) => {
                map.insert(Id::new(&label), value);
                Some(map)
            }
            _ => None,
        };
    }
    all
}

fn components(root: &Section, currency: &str, phases: Option<u8>) -> Option<BTreeMap<Id, Component>> {
    by_name(root, "components", "what there is, by name", |s| {
        let mut read = component(s, currency)?;
        read.phases = phases_of(phases, read.phases);
        Some(read)
    })
}

fn devices(root: &Section) -> Option<BTreeMap<Id, super::Device>> {
    by_name(root, "devices", "Modbus devices, by name", device)
}

fn circuits(root: &Section) -> Option<BTreeMap<Id, Circuit>> {
    by_name(
        root,
        "circuits",
        "nested circuits with their own fuse or limit",
        circuit,
    )
}

pub fn circuit(s: &Section) -> Option<Circuit> {
    let parent = s.text_opt("parent", "circuit above it; absent: the connection point");
    let power_max = s.quantity_opt("power_max", "40 kW", "limit on its net power", Power::parse);
    let fuse = s.quantity_opt("fuse", "63 A", "rated current of its fuse, each phase", Current::parse);
    s.finish();
    if s.is_absent("power_max") && s.is_absent("fuse") {
        s.fault("fuse", "a circuit needs `fuse` or `power_max`");
    }
    for (key, value) in [
        ("power_max", power_max.map(Power::as_kw)),
        ("fuse", fuse.map(Current::as_amps)),
    ] {
        if value.is_some_and(|v| !(v > 0.0 && v <= 1e6)) {
            s.fault(key, "must be above 0");
        }
    }
    Some(Circuit {
        parent: parent.map(|p| Id::new(&p)),
        power_max,
        fuse,
    })
}

pub fn location(s: &Section) -> Option<Location> {
    let latitude = s.quantity("latitude", "37.57 deg", "north positive", Angle::parse);
    let longitude = s.quantity("longitude", "126.98 deg", "east positive", Angle::parse);
    let time_zone = s.parsed("time_zone", "IANA name, e.g. \"Asia/Seoul\"", |t| {
        t.parse::<chrono_tz::Tz>()
            .map_err(|_| format!("`{t}` is not a time zone such as Asia/Seoul"))
    });
    let country = s.text("country", "ISO 3166 code, for public holidays: KR, NL, …");
    if s.is_there() {
        s.finish();
    }
    for (key, value, most) in [("latitude", latitude, 90.0), ("longitude", longitude, 180.0)] {
        if value.is_some_and(|v| v.as_degrees().abs() > most) {
            s.fault(key, format!("must lie between -{most} and {most} deg"));
        }
    }
    Some(Location {
        latitude: latitude?,
        longitude: longitude?,
        time_zone: time_zone?,
        country: country?,
    })
}

/// Outer `None`: faulty; inner `None`: an island.
pub fn connection(s: &Section) -> Option<Option<ConnectionPoint>> {
    let import_max = s.quantity("import_max", "17 kW", "highest import", Power::parse);
    let export_max = s.quantity(
        "export_max",
        "17 kW",
        "highest export; \"0 kW\" forbids it",
        Power::parse,
    );
    let phases = s.whole("phases", (1, 3), Some(3), "1 or 3");
    let voltage = s.quantity_or("voltage", "230 V", "230 V", "phase to neutral", Voltage::parse);
    let fuse = s.quantity(
        "fuse",
        "25 A",
        "rated current of the main fuse, each phase",
        Current::parse,
    );
    let meter = s.text("meter", "component of kind meter that measures it");
    if !s.is_there() {
        return Some(None);
    }
    s.finish();
    if phases == Some(2) {
        s.fault("phases", "allowed: 1, 3");
    }
    let negative = |p: Option<Power>| p.is_some_and(|p| p < Power::ZERO || p.as_kw() > 1e6);
    for (key, value) in [("import_max", import_max), ("export_max", export_max)] {
        if negative(value) {
            s.fault(key, "must not be negative (or beyond a gigawatt)");
        }
    }
    if voltage.is_some_and(|v| !(50.0..=50_000.0).contains(&v.as_volts())) {
        s.fault("voltage", "must lie between 50 V and 50 kV, phase to neutral");
    }
    if fuse.is_some_and(|f| f.as_amps() <= 0.0) {
        s.fault("fuse", "must be above 0 A");
    }
    Some(Some(ConnectionPoint {
        import_max: import_max?,
        export_max: export_max?,
        phases: phases? as u8,
        voltage: voltage?,
        fuse: fuse?,
        meter: Id::new(&meter?),
    }))
}

/// A share of the consumption that is wished, and what missing it costs; outer `None`: faulty.
fn share_goal(s: &Section, currency: &str) -> Option<Option<ShareGoal>> {
    let share = s.quantity(
        "share",
        "70 %",
        "of the consumption over the plan's horizon",
        super::values::share,
    );
    let doc = "cost of each kWh that misses it, besides its price";
    let missing = price(s, "missing", currency, None, doc);
    if !s.is_there() {
        return Some(None);
    }
    s.finish();
    if share.is_some_and(|v| !(0.0..=1.0).contains(&v)) {
        s.fault("share", "must lie between 0 % and 100 %");
    }
    if missing.is_some_and(|p| p <= Price::ZERO) {
        s.fault("missing", "must be above 0");
    }
    Some(Some(ShareGoal {
        share: share?,
        missing: missing?,
    }))
}

/// Outer `None`: faulty.
fn lifeline(s: &Section, currency: &str) -> Option<Option<Lifeline>> {
    let time = s.quantity(
        "time",
        "12 h",
        "how long the batteries should carry the critical load",
        parse_duration,
    );
    let share = s.quantity_or(
        "share",
        "40 %",
        "100 %",
        "share of the fixed load that is critical",
        super::values::share,
    );
    let doc = "cost of each kWh missing for an hour; absent: twice the highest price";
    let missing = price_opt(s, "missing", currency, doc);
    if !s.is_there() {
        return Some(None);
    }
    s.finish();
    if time.is_some_and(|t| !(TimeDelta::minutes(15)..=TimeDelta::hours(72)).contains(&t)) {
        s.fault("time", "must lie between 15 min and 72 h");
    }
    if share.is_some_and(|v| !(v > 0.0 && v <= 1.0)) {
        s.fault("share", "must lie above 0 % and at most at 100 %");
    }
    Some(Some(Lifeline {
        time: time?,
        share: share?,
        missing: missing?,
    }))
}

pub fn objective(s: &Section, currency: &str) -> Option<Objective> {
    let weight = s.quantity_or("money", "100 %", "100 %", "weight on money", super::values::share);
    let carbon = s.quantity_or(
        "carbon",
        "0.08 EUR/kg",
        &format!("0 {}/kg", or_any(currency)),
        "price of a kg CO₂",
        |t| parse_money_per(t, "kg", "0.08 EUR/kg"),
    );
    let own = "extra worth of each kWh not imported";
    let self_sufficiency = price(s, "self_sufficiency", currency, Some("0"), own);
    let doc = "worth of a kWh of critical load; absent: ten times the highest price";
    let unserved = s.quantity_opt("unserved", "5 EUR/kWh", doc, |t| parse_money_per(t, "kWh", "5 EUR/kWh"));
    let doc = "share of the consumption that should not be imported";
    let own = share_goal(&s.section("own", false, doc), currency);
    let doc = "share of the consumption that should be renewable";
    let renewable = share_goal(&s.section("renewable", false, doc), currency);
    let doc = "what the batteries hold for the hours after a failure of the grid, without sun";
    let lifeline = lifeline(&s.section("lifeline", false, doc), currency);
    if s.is_there() {
        s.finish();
    }
    if weight.is_some_and(|w| w < 0.0) {
        s.fault("money", "must not be negative");
    }
    let carbon = carbon?;
    for (key, unit) in [
        ("carbon", Some(&carbon.1)),
        ("unserved", unserved.as_ref().map(|(_, c)| c)),
    ] {
        if unit.is_some_and(|u| !is_in(u, currency)) {
            s.fault(key, format!("is not in the tariff's currency {currency}"));
        }
    }
    Some(Objective {
        money: weight?,
        carbon_per_kg: carbon.0,
        self_sufficiency: self_sufficiency?,
        unserved: unserved.map(|(v, _)| Price::per_kwh(v)),
        own: own?,
        renewable: renewable?,
        lifeline: lifeline?,
    })
}

pub fn timing(s: &Section) -> Option<Timing> {
    let span = |key, example, default, doc| s.quantity_or(key, example, default, doc, parse_duration);
    let cycle = span("cycle", "1 s", "1 s", "control cycle");
    let interval = span("interval", "15 min", "15 min", "decision interval of the plan");
    let horizon = span("horizon", "24 h", "24 h", "how far the plan looks");
    if s.is_there() {
        s.finish();
    }
    if let (Some(cycle), Some(interval)) = (cycle, interval)
        && cycle > interval
    {
        s.fault("cycle", "must not be longer than `interval`");
    }
    let (cycle, interval, horizon) = (cycle?, interval?, horizon?);
    if !(TimeDelta::milliseconds(200)..=TimeDelta::minutes(1)).contains(&cycle) {
        s.fault("cycle", "must lie between 200 ms and 60 s");
    }
    if !(TimeDelta::minutes(1)..=TimeDelta::hours(1)).contains(&interval) || 3600 % interval.num_seconds().max(1) != 0 {
        s.fault("interval", "must divide an hour: 5 min, 15 min, 30 min, 60 min");
    }
    if !(TimeDelta::hours(2)..=TimeDelta::hours(72)).contains(&horizon) {
        s.fault("horizon", "must lie between 2 h and 72 h");
    }
    Some(Timing {
        cycle,
        interval,
        horizon,
    })
}

pub fn telemetry(s: &Section) -> Option<TelemetryConfig> {
    let every = s.quantity_or(
        "every",
        "1 s",
        "1 s",
        "time between samples of a series",
        parse_duration,
    );
    let keep_days = s.whole("keep_days", (1, 3650), Some(90), "days kept at full resolution");
    let influx = s.section("influx", false, "an InfluxDB v2 write endpoint, e.g. VictoriaMetrics");
    let url = influx.parsed("url", "base URL, http://127.0.0.1:8428", |t| {
        if t.starts_with("http://") && t.len() > 7 {
            Ok(t.to_owned())
        } else {
            Err(format!(
                "`{t}` is not an http:// URL (for TLS use a local proxy, see SECURITY.md)"
            ))
        }
    });
    let org = influx.parsed_or("org", "madang", "organisation", |t| Ok(t.to_owned()));
    let bucket = influx.parsed_or("bucket", "madang", "bucket", |t| Ok(t.to_owned()));
    let token_env = influx.text_opt("token_env", "environment variable that holds the token");
    let there = influx.is_there();
    if there {
        influx.finish();
    }
    if s.is_there() {
        s.finish();
    }
    if every.is_some_and(|e| !(TimeDelta::milliseconds(200)..=TimeDelta::hours(1)).contains(&e)) {
        s.fault("every", "must lie between 200 ms and 1 h");
    }
    let influx = match (there, url) {
        (true, url) => Some(InfluxConfig {
            url: url?,
            org: org?,
            bucket: bucket?,
            token_env,
        }),
        (false, _) => None,
    };
    Some(TelemetryConfig {
        influx,
        every: every?,
        keep_days: keep_days? as u32,
    })
}
