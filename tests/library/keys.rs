//! No key of a site file does nothing: each one of the schema stands in a file of this test, another value of it makes another
//! site, and each field that comes of it is read somewhere outside the parser.

use madang::site::{Site, builtin_names, parse, schema};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use toml::Value;

/// What no shipped site has: appended to the home's file.
const MORE: &str = r#"
[tariff]
grid_renewable = "45 %"
billing_day = 15
[components.grid]
ct_reversed = true
[components.pv]
curtailable = false
[components.ev]
efficiency = "91 %"
[components.battery]
grid_charge = false
grid_discharge = false
[[proxy]]
device = "meter"
listen = "127.0.0.1:5020"
max_age = "2 s"
[[components.battery.goal]]
at = "06:30"
soc = "80 %"
worth = "0.5 EUR/kWh"
[circuits.outer]
fuse = "60 A"
power_max = "30 kW"
[circuits.inner]
parent = "outer"
fuse = "40 A"
[components.dish]
kind = "shiftable-load"
power = "1 kW"
duration = "60 min"
earliest = "08:00"
latest = "20:00"
circuit = "inner"
phases = "L2"
[components.boiler]
kind = "sheddable-load"
priority = 2
value = "1 EUR/kWh"
daily = "3 kWh"
shape = "flat"
saturday = "101 %"
sunday = "102 %"
max = "2 kW"
[components.genset]
kind = "generator"
power_max = "10 kW"
power_min = "2 kW"
fuel = "0.4 EUR/kWh"
start_cost = "1 EUR/start"
no_load_cost = "1 EUR/h"
fuel_use = "0.28 L/kWh"
no_load_fuel_use = "1.7 L/h"
min_up = "10 min"
min_down = "11 min"
start_time = "12 s"
carbon = "0.7 kg/kWh"
start_below = "30 %"
stop_above = "80 %"
[devices.relays]
address = "tls://10.0.0.9:802"
profile = "generic-relay"
unit = 4
components = ["dish"]
control = false
identity_confirmed = false
writes_per_day = 30
options = { x = "3" }
points = { "dish.running" = "running" }
tls = { ca = "ca.pem", cert = "c.pem", key = "k.pem", name = "relay" }
[devices.relays-2]
address = "tcp://10.0.0.10:502"
profile = "generic-relay"
components = ["boiler"]
[devices.genset]
address = "tcp://10.0.0.11:502"
profile = "generic-genset"
components = ["genset"]
[tariff.demand]
price = "6 EUR/kW"
window = "15 min"
peak_so_far = "3 kW"
contract = "12 kW"
peaks = 3
one_a_day = true
months = [1, 2, 3, 11, 12]
days = ["work", "saturday"]
hours = ["06:00-22:00"]
minimum = "2.5 kW"
ratchet = "80 %"
ratchet_months = [7, 8, 9]
ratchet_peak = "10 kW"
[tariff.capacity]
subscribed = "6 kW"
overrun = "0.9 EUR/kWh"
window = "15 min"
peak_so_far = "2 kW"
[objective]
money = "90 %"
carbon = "0.05 EUR/kg"
self_sufficiency = "0.01 EUR/kWh"
unserved = "5 EUR/kWh"
own = { share = "70 %", missing = "0.2 EUR/kWh" }
renewable = { share = "80 %", missing = "0.1 EUR/kWh" }
lifeline = { time = "12 h", share = "40 %", missing = "0.3 EUR/kWh" }
[telemetry]
every = "2 s"
keep_days = 30
[telemetry.influx]
url = "http://127.0.0.1:8428"
org = "o"
bucket = "b"
token_env = "TOKEN"
"#;

/// A fee by time of day in place of one number, and prices with bounds.
const FEES: &str = r#"
[[tariff.import_fee.period]]
months = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
days = ["all"]
hours = ["00:00-24:00"]
price = "0.1 EUR/kWh"
[tariff.export]
unpaid_below = "-0.1 EUR/kWh"
floor = "-0.2 EUR/kWh"
cap = "0.4 EUR/kWh"
file = "outgoing.csv"
[tariff.import]
floor = "-0.1 EUR/kWh"
cap = "0.9 EUR/kWh"
[tariff]
tax_on_negative = false
import_floor = "0 EUR/kWh"
import_cap = "1 EUR/kWh"
"#;

/// Keys whose only value says what the file is.
const FIXED: [&str; 1] = ["schema"];

/// Keys that hold together with others: another value of one alone is refused, which reads it too.
const TOGETHER: [&str; 12] = [
    "components.*.grid_forming",
    "devices.*.components",
    "tariff.capacity.window",
    "tariff.export.period[].days",
    "tariff.export.period[].hours",
    "tariff.export.period[].months",
    "tariff.import_fee.period[].days",
    "tariff.import_fee.period[].hours",
    "tariff.import_fee.period[].months",
    "tariff.import.period[].days",
    "tariff.import.period[].hours",
    "tariff.import.period[].months",
];

fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("sites/{name}/site.toml"))).unwrap()
}

fn table(text: &str) -> Value {
    Value::Table(toml::from_str(text).unwrap())
}

/// What `extra` has besides, put into `file`; what both have stays as the file says.
fn merged(file: &mut Value, extra: Value) {
    let (Value::Table(into), Value::Table(from)) = (file, extra) else {
        return;
    };
    for (key, value) in from {
        match into.get_mut(&key) {
            Some(there) => merged(there, value),
            None => drop(into.insert(key, value)),
        }
    }
}

fn site_of(file: &Value) -> Result<Site, Vec<madang::site::Fault>> {
    parse("x", &toml::to_string(file).unwrap()).map(|(site, _)| site)
}

/// Other values of the same form, nearest first.
fn others(value: &Value, schema: &Json) -> Vec<Value> {
    let words = schema["enum"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let mut all: Vec<Value> = words.map(|w| Value::String(w.into())).collect();
    match value {
        Value::Boolean(b) => all.push(Value::Boolean(!b)),
        Value::Integer(i) => all.extend([i + 1, i - 1, 1, 3].map(Value::Integer)),
        Value::Float(f) => all.push(Value::Float(f * 0.9)),
        Value::String(s) => all.extend(other_texts(s).into_iter().map(Value::String)),
        Value::Array(list) => {
            for (i, item) in list.iter().enumerate().take(2) {
                for other in others(item, &schema["items"]) {
                    let mut changed = list.clone();
                    changed[i] = other;
                    all.push(Value::Array(changed));
                }
            }
            all.push(Value::Array(list.iter().skip(1).cloned().collect()));
            all.push(Value::Array(vec![]));
        }
        _ => {}
    }
    all.retain(|v| v != value);
    all
}

fn other_texts(text: &str) -> Vec<String> {
    let digits = text.find(|c: char| c.is_ascii_digit());
    let mut all: Vec<String> = Vec::new();
    if let Some(from) = digits {
        let end = text[from..]
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .map_or(text.len(), |n| from + n);
        if let Ok(number) = text[from..end].parse::<f64>() {
            let put = |n: f64| format!("{}{n}{}", &text[..from], &text[end..]);
            all.extend([0.98, 1.02, 2.0, 0.5].map(|k| put(number * k)));
            all.extend([number + 1.0, number - 1.0].map(put));
        }
    }
    let known = [
        "07:45",
        "2026-12-24",
        "Europe/Brussels",
        "BE",
        "USD",
        "9 EUR/kWh",
        "flat",
        "L1",
        "127.0.0.1:5021",
        "outer",
        "eastron-sdm630",
        "http://127.0.0.1:8429",
        "22:00-07:00",
        "08:00-22:00",
        "inverter",
    ];
    all.extend(known.map(str::to_owned));
    all.push(format!("{text}x"));
    all
}

/// Every leaf of the file: where it stands, and the schema's word for it.
fn leaves(file: &Value, schema: &Json, at: &mut Vec<String>, name: &str, all: &mut Vec<(Vec<String>, String, Json)>) {
    let schema = schema["oneOf"].as_array().map_or(schema, |forms| {
        let kind = file.get("kind").and_then(Value::as_str);
        let fits = |f: &&Json| f["properties"]["kind"]["const"].as_str() == kind;
        forms.iter().find(fits).unwrap_or(schema)
    });
    let schema = schema["anyOf"].as_array().map_or(schema, |forms| {
        let fits = |f: &&Json| (f["type"] == "object") == file.is_table();
        forms.iter().find(fits).unwrap_or(schema)
    });
    match file {
        Value::Table(t) => {
            for (key, value) in t {
                let known = &schema["properties"][key];
                let (inner, word) = match known.is_null() {
                    true => (&schema["additionalProperties"], format!("{name}.*")),
                    false => (known, format!("{name}.{key}")),
                };
                at.push(key.clone());
                leaves(value, inner, at, &word, all);
                at.pop();
            }
        }
        Value::Array(items) if items.iter().all(Value::is_table) => {
            for (i, item) in items.iter().enumerate() {
                at.push(i.to_string());
                leaves(item, &schema["items"], at, &format!("{name}[]"), all);
                at.pop();
            }
        }
        _ => all.push((at.clone(), name.trim_start_matches('.').to_owned(), schema.clone())),
    }
}

/// Every key of the schema that holds a value.
fn keys(schema: &Json, name: &str, all: &mut BTreeSet<String>) {
    for form in ["oneOf", "anyOf"]
        .iter()
        .filter_map(|word| schema[word].as_array())
        .flatten()
    {
        keys(form, name, all);
    }
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        keys(inner, &format!("{name}.{key}"), all);
    }
    if schema["additionalProperties"].is_object() {
        keys(&schema["additionalProperties"], &format!("{name}.*"), all);
    }
    if schema["items"]["type"] == "object" || schema["items"]["oneOf"].is_array() {
        keys(&schema["items"], &format!("{name}[]"), all);
        return;
    }
    let is_table = schema["type"] == "object" || schema["oneOf"].is_array() || schema["anyOf"].is_array();
    if !is_table {
        all.insert(name.trim_start_matches('.').to_owned());
    }
}

fn put(file: &mut Value, at: &[String], value: Value) {
    let Some((first, rest)) = at.split_first() else {
        *file = value;
        return;
    };
    let inner = match file {
        Value::Table(t) => t.get_mut(first).unwrap(),
        Value::Array(list) => &mut list[first.parse::<usize>().unwrap()],
        other => panic!("{other}"),
    };
    put(inner, rest, value);
}

fn get<'v>(file: &'v Value, at: &[String]) -> &'v Value {
    at.iter().fold(file, |v, key| match v {
        Value::Array(list) => &list[key.parse::<usize>().unwrap()],
        _ => &v[key.as_str()],
    })
}

#[test]
fn another_value_of_any_key_makes_another_site() {
    let schema = schema();
    let mut wanted = BTreeSet::new();
    keys(&schema, "", &mut wanted);
    let mut files: Vec<Value> = builtin_names().iter().map(|n| table(&text(n))).collect();
    let mut whole = table(&text("home-amsterdam"));
    merged(&mut whole, table(MORE));
    files.push(whole);
    let paid_by_time = "kind = \"time-of-use\"\n[[period]]\nmonths = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]\ndays = [\"all\"]\n\
                        hours = [\"00:00-24:00\"]\nprice = \"0.1 EUR/kWh\"";
    let kinds = [
        "kind = \"flat\"\nprice = \"0.3 EUR/kWh\"",
        "kind = \"time-of-use\"\n[[tariff.import.period]]\nname = \"all\"\ndays = [\"all\"]\nhours = [\"00:00-24:00\"]\nprice = \"0 EUR/kWh\"\n\
         up_to = \"50 kWh\"\nbeyond = \"0.3 EUR/kWh\"",
        "kind = \"blocks\"\n[[tariff.import.block]]\nup_to = \"200 kWh\"\nmonths = [1, 2, 3]\nprice = \"0.2 EUR/kWh\"\n[[tariff.import.block]]\nprice = \"0.3 EUR/kWh\"",
    ];
    for kind in kinds {
        let mut file = table(&text("home-amsterdam"));
        let tariff = file.get_mut("tariff").and_then(Value::as_table_mut).unwrap();
        tariff.remove("import");
        let export = match kind.contains("blocks") {
            true => paid_by_time,
            false => "kind = \"flat\"\nprice = \"0.1 EUR/kWh\"",
        };
        tariff.insert("export".into(), table(export));
        tariff.insert("holidays".into(), Value::Array(vec!["2026-05-01".into()]));
        merged(&mut file, table(&format!("[tariff.import]\n{kind}")));
        files.push(file);
    }
    let mut fees = table(&text("home-amsterdam"));
    fees["tariff"].as_table_mut().unwrap().remove("import_fee");
    merged(&mut fees, table(FEES));
    files.push(fees);
    let mut twin = table(&text("home-amsterdam"));
    merged(
        &mut twin,
        table("[twin]\nload = \"l.csv\"\nload_column = \"a\"\npv = \"p.csv\"\npv_column = \"b\""),
    );
    files.push(twin);
    let (mut alive, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for file in &files {
        let before = format!("{:?}", site_of(file).unwrap_or_else(|f| panic!("{f:#?}")));
        let mut all = Vec::new();
        leaves(file, &schema, &mut vec![], "", &mut all);
        for (at, name, schema) in all {
            seen.insert(name.clone());
            if alive.contains(&name) {
                continue;
            }
            let is_text = schema["enum"].is_null() && schema["pattern"].is_null();
            let changes = |other: Value| {
                let mut changed = file.clone();
                put(&mut changed, &at, other);
                match site_of(&changed) {
                    Ok(site) => format!("{site:?}") != before,
                    // A name of something else is read where a wrong one is refused.
                    Err(_) => TOGETHER.contains(&name.as_str()) || is_text && get(file, &at).is_str(),
                }
            };
            if others(get(file, &at), &schema).into_iter().any(changes) {
                alive.insert(name);
            }
        }
    }
    let fixed: BTreeSet<String> = FIXED.iter().map(|k| (*k).to_owned()).collect();
    let missing: Vec<&String> = wanted
        .iter()
        .filter(|k| !seen.contains(*k) && !fixed.contains(*k))
        .collect();
    assert!(missing.is_empty(), "no file of this test has {missing:?}");
    let dead: Vec<&String> = seen
        .iter()
        .filter(|k| !alive.contains(*k) && !fixed.contains(*k))
        .collect();
    assert!(dead.is_empty(), "another value of these changes nothing: {dead:?}");
}

fn sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            *into += &std::fs::read_to_string(path).unwrap();
        }
    }
}

#[test]
fn every_field_of_a_site_is_read_outside_the_parser() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut readers = String::new();
    for entry in std::fs::read_dir(&src).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("site") {
            sources(&path, &mut readers);
        }
    }
    // What feeds what is decided there, of the parsed site.
    readers += &std::fs::read_to_string(src.join("site/feeds.rs")).unwrap();
    let words: BTreeSet<&str> = readers.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let mut unread = BTreeMap::new();
    for file in ["plant.rs", "wiring.rs", "twin.rs"] {
        let text = std::fs::read_to_string(src.join("site").join(file)).unwrap();
        for line in text
            .lines()
            .filter(|l| l.starts_with("    pub ") && l.trim_end().ends_with(','))
        {
            let Some((name, _)) = line.trim().trim_start_matches("pub ").split_once(':') else {
                continue;
            };
            if !words.contains(name) {
                unread.insert(name.to_owned(), file);
            }
        }
    }
    assert!(unread.is_empty(), "nothing reads {unread:?}");
}
