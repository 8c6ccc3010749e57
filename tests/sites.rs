//! Site files: the shipped ones hold, faults are found all at once and in place, and no text makes the parser panic.

use madang::site::{Severity, builtin, builtin_names, parse, schema};
use proptest::prelude::*;

fn text(name: &str) -> String {
    let file = format!("{}/sites/{name}/site.toml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn the_shipped_sites_have_no_fault() {
    assert_eq!(
        builtin_names(),
        ["apartment-seoul", "home-amsterdam", "island-microgrid"]
    );
    for name in builtin_names() {
        let (site, warnings) = parse("site.toml", &text(&name)).unwrap_or_else(|f| panic!("{name}: {f:#?}"));
        assert_eq!(site.plant.name.as_str(), name);
        assert!(warnings.iter().all(|w| w.severity == Severity::Warning));
        assert_eq!(builtin(&name).map(|s| s.plant), Some(site.plant));
    }
    assert!(
        builtin("home-amsterdam")
            .unwrap()
            .read_file("prices.csv")
            .unwrap()
            .starts_with("ts_utc")
    );
}

/// Replaces `from` with `to` in a shipped site; the fault must stand at the line of `to` (or of `at`), under `key`, and say `part`.
fn check(site: &str, from: &str, to: &str, key: &str, part: &str) {
    let good = text(site);
    assert!(good.contains(from), "{site} has no `{from}`");
    let bad = good.replacen(from, to, 1);
    let faults = parse("site.toml", &bad)
        .err()
        .unwrap_or_else(|| panic!("`{to}` was accepted"));
    let offset = good.find(from).unwrap();
    let line = good[..offset].matches('\n').count() + 1;
    let hit = faults.iter().find(|f| f.key == key && f.message.contains(part));
    let hit = hit.unwrap_or_else(|| panic!("`{to}`: no fault at {key} saying `{part}` in {faults:#?}"));
    let own = key.rsplit('.').next().unwrap();
    if to.contains(own) {
        assert!(
            hit.line.abs_diff(line) <= to.matches('\n').count() + 5,
            "`{to}`: line {} not {line}",
            hit.line
        );
    }
}

#[test]
fn each_kind_of_fault_is_named_in_place() {
    let home = "home-amsterdam";
    let rows = [
        (
            home,
            "capacity = \"10 kWh\"",
            "capacity = 10",
            "components.battery.capacity",
            "no unit",
        ),
        (
            home,
            "capacity = \"10 kWh\"",
            "capacity = \"10\"",
            "components.battery.capacity",
            "no unit",
        ),
        (
            home,
            "capacity = \"10 kWh\"",
            "capacity = \"10 kW\"",
            "components.battery.capacity",
            "kWh, Wh, MWh",
        ),
        (
            home,
            "capacity = \"10 kWh\"",
            "capacity = \"-10 kWh\"",
            "components.battery.capacity",
            "not a possible rating",
        ),
        (
            home,
            "capacity = \"10 kWh\"",
            "",
            "components.battery.capacity",
            "missing",
        ),
        (
            home,
            "capacity = \"10 kWh\"",
            "capacity = \"10 kWh\"\ncapcity = \"3 kWh\"",
            "components.battery.capcity",
            "did you mean `capacity`",
        ),
        (
            home,
            "charge_max = \"5 kW\"",
            "charge_max = \"5000 kW\"",
            "components.battery.charge_max",
            "is a unit wrong",
        ),
        (
            home,
            "charge_efficiency = \"95 %\"",
            "charge_efficiency = \"950 %\"",
            "components.battery.charge_efficiency",
            "efficiency",
        ),
        (
            home,
            "soc_min = \"8 %\"",
            "soc_min = \"108 %\"",
            "components.battery.soc_min",
            "soc_min < soc_max",
        ),
        (
            home,
            "kind = \"pv\"",
            "kind = \"solar\"",
            "components.pv.kind",
            "allowed: meter, pv",
        ),
        (
            home,
            "mode = \"cheapest\"",
            "mode = \"cheap\"",
            "components.ev.mode",
            "fast, cheapest, surplus",
        ),
        (
            home,
            "15221",
            "15220",
            "devices.inverter.address",
            "already the address of `meter`",
        ),
        (
            home,
            "components = [\"grid\"]",
            "components = [\"gird\"]",
            "devices.meter.components",
            "there is no component `gird`",
        ),
        (
            home,
            "meter = \"grid\"",
            "meter = \"pv\"",
            "connection_point.meter",
            "not a meter",
        ),
        (
            home,
            "wear = \"0.01 EUR/kWh\"",
            "wear = \"0.01 KRW/kWh\"",
            "components.battery.wear",
            "currency is EUR",
        ),
        (
            home,
            "time_zone = \"Europe/Amsterdam\"",
            "time_zone = \"Amsterdam\"",
            "location.time_zone",
            "not a time zone",
        ),
        (
            home,
            "latitude = \"52.37 deg\"",
            "latitude = \"152 deg\"",
            "location.latitude",
            "between",
        ),
        (
            home,
            "interval = \"15 min\"",
            "interval = \"7 min\"",
            "timing.interval",
            "divide an hour",
        ),
        (
            home,
            "[components.pv]",
            "[components.\"P V\"]",
            "components.P V",
            "not a name",
        ),
        (home, "schema = \"site/1\"", "schema = \"site/9\"", "schema", "site/1"),
        (
            "apartment-seoul",
            "circuit = \"chargers\"",
            "circuit = \"cellar\"",
            "components.charger-01.circuit",
            "there is no circuit",
        ),
        (
            "apartment-seoul",
            "fuse = \"63 A\"",
            "fuse = \"63 A\"\nparent = \"chargers\"",
            "circuits.chargers.parent",
            "circle",
        ),
        (
            "apartment-seoul",
            "hours = [\"22:00-08:00\"]",
            "hours = [\"23:00-08:00\"]",
            "tariff.import.period",
            "no price for month",
        ),
        (
            "apartment-seoul",
            "hours = [\"22:00-08:00\"]",
            "hours = [\"21:00-08:00\"]",
            "tariff.import.period",
            "more than one price",
        ),
        (
            "island-microgrid",
            "grid_forming = true",
            "grid_forming = false",
            "connection_point",
            "island",
        ),
        (
            "island-microgrid",
            "latest = \"20:00\"",
            "latest = \"08:00\"",
            "components.water-pump.latest",
            "shorter than `duration`",
        ),
    ];
    for (site, from, to, key, part) in rows {
        check(site, from, to, key, part);
    }
}

#[test]
fn all_faults_come_at_once_in_the_order_of_their_lines() {
    let bad = text("home-amsterdam")
        .replace("import_max = \"8 kW\"", "import_max = 8")
        .replace("peak = \"6 kW\"", "peek = \"6 kW\"")
        .replace("unit", "unit");
    let faults = parse("site.toml", &bad).unwrap_err();
    let keys: Vec<_> = faults.iter().map(|f| f.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "connection_point.import_max",
            "components.pv.peak",
            "components.pv.peek"
        ]
    );
    assert!(faults.windows(2).all(|w| w[0].line <= w[1].line));
}

#[test]
fn broken_toml_is_a_fault_with_a_line() {
    let faults = parse("site.toml", "name = \"x\nmode = [").unwrap_err();
    assert!(
        faults.iter().any(|f| f.message.starts_with("not TOML") && f.line >= 1),
        "{faults:#?}"
    );
}

#[test]
fn the_schema_knows_every_key_the_shipped_sites_use() {
    let schema = schema();
    for name in builtin_names() {
        let value: toml::Value = toml::from_str(&text(&name)).unwrap();
        for (key, _) in value.as_table().unwrap() {
            assert!(schema["properties"].get(key).is_some(), "{key}");
        }
        for (id, component) in value["components"].as_table().unwrap() {
            let kinds = schema["properties"]["components"]["additionalProperties"]["oneOf"]
                .as_array()
                .unwrap();
            let kind = component["kind"].as_str().unwrap();
            let kind = kinds.iter().find(|k| k["properties"]["kind"]["const"] == kind).unwrap();
            for key in component.as_table().unwrap().keys() {
                assert!(kind["properties"].get(key).is_some(), "{id}.{key}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_makes_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _outcome = parse("x", &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_damaged_site_makes_the_parser_panic(at in 0usize..2500, cut in 0usize..60, put in "[\\[\\]=\"a-z0-9. \n{}-]{0,12}") {
        let mut good = text("home-amsterdam");
        let start = (0..=at.min(good.len())).rev().find(|i| good.is_char_boundary(*i)).unwrap();
        let end = (start + cut..=good.len()).find(|i| good.is_char_boundary(*i)).unwrap_or(good.len());
        good.replace_range(start..end, &put);
        let _outcome = parse("x", &good);
    }
}
