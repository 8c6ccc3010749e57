//! Site files: the shipped ones hold, faults are found all at once and in place, and no text makes the parser panic.

use madang::site::{Kind, LoadError, Mode, Severity, builtin, builtin_names, load, parse, reference, schema};
use proptest::prelude::*;
use serde_json::{Value, json};

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

/// Shipped site | what is replaced | by what | key of the fault | part of its message | text on its line (default: the last
/// line of the replacement). `⏎` is a new line.
const FAULTS: &str = r##"home | capacity = "10 kWh" | capacity = 10 | components.battery.capacity | no unit |
home | capacity = "10 kWh" | capacity = "10" | components.battery.capacity | no unit |
home | capacity = "10 kWh" | capacity = "10 kW" | components.battery.capacity | kWh, Wh, MWh |
home | capacity = "10 kWh" | capacity = "-10 kWh" | components.battery.capacity | not a possible rating |
home | capacity = "10 kWh" | capacity = "1e308 MWh" | components.battery.capacity | not finite |
home | capacity = "10 kWh" | | components.battery.capacity | missing | [components.battery]
home | capacity = "10 kWh" | capacity = "10 kWh"⏎capcity = "3 kWh" | components.battery.capcity | did you mean `capacity` |
home | charge_max = "5 kW" | charge_max = "5000 kW" | components.battery.charge_max | is a unit wrong |
home | charge_efficiency = "95 %" | charge_efficiency = "950 %" | components.battery.charge_efficiency | efficiency |
home | soc_min = "8 %" | soc_min = "108 %" | components.battery.soc_min | soc_min < soc_max |
home | soc_max = "100 %" | soc_max = "100 %"⏎reserve = "120 %" | components.battery.reserve | between 0 % and soc_max |
home | kind = "pv" | kind = "solar" | components.pv.kind | allowed: meter, pv |
home | mode = "cheapest" | mode = "cheap" | components.ev.mode | fast, cheapest, surplus |
home | tilt = "38 deg" | tilt = "138 deg" | components.pv.tilt | between 0 and 90 |
home | azimuth = "195 deg" | azimuth = "-20 deg" | components.pv.azimuth | between 0 and 360 |
home | max = "7 kW" | max = "7 W" | components.home.max | below the mean |
home | wear = "0.01 EUR/kWh" | wear = "0.01 KRW/kWh" | components.battery.wear | currency is EUR |
home | [components.pv] | [components."P V"] | components.P V | not a name |
home | [components.home] | [components.attic]⏎kind = "load"⏎daily = "2 kWh"⏎[components.home] | components.home.kind | only one load | kind = "load"             # no
home | voltage = "230 V" | voltage = "0.23 V" | connection_point.voltage | between 50 V |
home | meter = "grid" | meter = "pv" | connection_point.meter | not a meter |
home | meter = "grid" | meter = "main" | connection_point.meter | there is no component `main` |
home | phases = 3 | phases = 2 | connection_point.phases | allowed: 1, 3 |
home | current_min = "6 A" | current_min = "6 A"⏎phases = "L4" | components.ev.phases | not a phase |
home | 15221 | 15220 | devices.inverter.address | already the address of `meter` | address = "tcp://127.0.0.1:15220"⏎profile = "sunspec"⏎components = ["pv"
home | tcp://127.0.0.1:15220 | tpc://127.0.0.1:15220 | devices.meter.address | not a transport |
home | tcp://127.0.0.1:15220 | tcp://127.0.0.1:99999 | devices.meter.address | not a port |
home | components = ["grid"] | components = ["gird"] | devices.meter.components | there is no component `gird`; did you mean `grid`? |
home | components = ["ev"] | components = [] | components.ev.kind | no device feeds | kind = "charge-point"
home | components = ["ev"] | components = ["ev"]⏎points = { "ev.colour" = "x" } | devices.charger.points | <component>.<quantity> |
home | identity_confirmed = true | identity_confirmed = "yes" | devices.charger.identity_confirmed | not true or false |
home | time_zone = "Europe/Amsterdam" | time_zone = "Amsterdam" | location.time_zone | not a time zone |
home | latitude = "52.37 deg" | latitude = "152 deg" | location.latitude | between |
home | interval = "15 min" | interval = "7 min" | timing.interval | divide an hour |
home | cycle = "1 s" | cycle = "-1e300 s" | timing.cycle | not finite |
home | tax = "21 %" | tax = "-21 %" | tariff.tax | between 0 % |
home | kind = "dynamic"⏎share | kind = "market"⏎share | tariff.export.kind | allowed: flat, time-of-use, dynamic | kind = "market"
home | battery = "40 %" | pv = "40 %" | twin.soc_start.pv | not a battery |
home | [twin.visits.ev] | [twin.visits.evv] | twin.visits.evv | did you mean `ev` |
home | cloudiness = [0.72, | cloudiness = [7.2, | twin.cloudiness | 12 numbers from 0 to 1 |
home | schema = "site/1" | schema = "site/9" | schema | site/1 |
home | wear = "0.01 EUR/kWh" | wear = "0.01 EUR/kWh"⏎goal = [{ at = "6:30 am", soc = "80 %" }] | components.battery.goal[0].at | not a time of day |
home | wear = "0.01 EUR/kWh" | wear = "0.01 EUR/kWh"⏎goal = [{ at = "06:30", soc = 80 }] | components.battery.goal[0].soc | no unit |
home | wear = "0.01 EUR/kWh" | wear = "0.01 EUR/kWh"⏎goal = [{ at = "06:30", soc = "5 %" }] | components.battery.goal[0].soc | between soc_min and soc_max |
home | wear = "0.01 EUR/kWh" | wear = "0.01 EUR/kWh"⏎goal = [{ at = "06:30", soc = "50 %" }, { at = "06:30", soc = "60 %" }] | components.battery.goal[1].at | another goal |
home | wear = "0.01 EUR/kWh" | wear = "0.01 EUR/kWh"⏎goal = [{ at = "06:30", soc = "50 %", worth = "0 EUR/kWh" }] | components.battery.goal[0].worth | above 0 |
home | tax = "21 %" | tax = "21 %"⏎capacity = { subscribed = "0 kW", overrun = "9 EUR/kW" } | tariff.capacity.subscribed | above 0 |
home | tax = "21 %" | tax = "21 %"⏎capacity = { subscribed = "6 kW", overrun = "9 EUR" } | tariff.capacity.overrun | EUR/kW |
home | tax = "21 %" | tax = "21 %"⏎capacity = { subscribed = "6 kW", overrun = "9 KRW/kW" } | tariff.capacity.overrun | currency is EUR |
home | tax = "21 %" | tax = "21 %"⏎capacity = { subscribed = "6 kW", overrun = "9 EUR/kW", window = "2 h" } | tariff.capacity.window | 60 min |
home | tax = "21 %" | tax = "21 %"⏎grid_renewable = "140 %" | tariff.grid_renewable | 100 % |
seoul | peak_so_far = "52 kW" | peak_so_far = "-52 kW" | tariff.demand.peak_so_far | negative |
home | [timing] | [objective]⏎own = { share = "170 %", missing = "0.2 EUR/kWh" }⏎[timing] | objective.own.share | 100 % | own =
home | [timing] | [objective]⏎renewable = { share = "70 %" }⏎[timing] | objective.renewable.missing | missing | renewable =
home | [timing] | [objective]⏎lifeline = { time = "100 h" }⏎[timing] | objective.lifeline.time | 72 h | lifeline =
seoul | circuit = "chargers" | circuit = "cellar" | components.charger-01.circuit | there is no circuit |
seoul | fuse = "63 A" | fuse = "63 A"⏎parent = "chargers" | circuits.chargers.parent | circle | parent = "chargers"
seoul | fuse = "63 A" | fuse = "-63 A" | circuits.chargers.fuse | above 0 | fuse = "-63 A"
seoul | hours = ["22:00-08:00"] | hours = ["23:00-08:00"] | tariff.import.period | no price for month | [[tariff.import.period]]
seoul | hours = ["22:00-08:00"] | hours = ["21:00-08:00"] | tariff.import.period | more than one price | [[tariff.import.period]]
seoul | months = [6, 7, 8] | months = [6, 7, 8, 8] | tariff.import.period | more than one price for month 8 | [[tariff.import.period]]
seoul | months = [6, 7, 8] | months = [6, 7, 13] | tariff.import.period[0].months | from 1 to 12 |
seoul | price = "6490 KRW/kW" | price = "6490 KRW/kWh" | tariff.demand.price | <currency>/kW |
island | grid_forming = true | grid_forming = false | connection_point | an island needs a battery | # An island
island | latest = "20:00" | latest = "08:00" | components.water-pump.latest | shorter than `duration` |
island | start_below = "30 %" | start_below = "80 %" | components.generator.start_below | start_below < stop_above |
island | power_min = "12 kW" | power_min = "52 kW" | components.generator.power_min | above power_max |
"##;

/// What no device can do that is said to: cells as in [`FAULTS`]; `sunspec` keeps the hybrid of the home.
const ROLES: &str = r##"home | profile = "generic-heat-pump" | profile = "alfen-eve" | devices.heat-pump.components | no power for the heat-pump `heat-pump`: it shows | components = ["heat-pump"]
home | profile = "generic-heat-pump" | profile = "stiebel-wpm-sg-ready" | devices.heat-pump.components | no command `heatpump_power` | components = ["heat-pump"]
home | profile = "alfen-eve" | profile = "eastron-sdm630" | devices.charger.components | no state of the charger for the charge-point `ev` | components = ["ev"]
home | profile = "alfen-eve" | profile = "eastron-sdm630" | devices.charger.components | no command `evse_current_limit` | components = ["ev"]
home | components = ["ev"] | components = ["ev", "battery"] | devices.charger.components | `battery` is fed by `inverter` already |
home | components = ["grid"] | components = ["grid", "pv"] | devices.inverter.components | `pv` is fed by `meter` already | components = ["pv", "battery"]
home | components = ["pv", "battery"] | components = ["pv"]⏎[devices.other]⏎address = "tcp://127.0.0.1:15299"⏎profile = "alfen-eve"⏎components = ["battery"] | devices.other.components | no state of charge for the battery `battery`: it shows |
home | components = ["pv", "battery"] | components = ["pv"]⏎[devices.other]⏎address = "tcp://127.0.0.1:15299"⏎profile = "eastron-sdm630"⏎components = ["battery"] | devices.other.components | no command `battery_power` for the battery `battery` |
home | components = ["pv", "battery"] | components = ["battery"]⏎[devices.other]⏎address = "tcp://127.0.0.1:15299"⏎profile = "sma-sunny-island"⏎components = ["pv"] | devices.other.components | no power for the pv `pv` |
home | components = ["pv", "battery"] | components = ["battery"]⏎[devices.other]⏎address = "tcp://127.0.0.1:15299"⏎profile = "sma-sunny-tripower"⏎components = ["pv"] | devices.other.components | no command `pv_limit` for the pv `pv`: it shows pv_power, ac_power |
home | profile = "sunspec"⏎components = ["grid"] | profile = "sma-sunny-tripower"⏎components = ["grid"] | devices.meter.components | measures itself, not the connection |
home | profile = "sunspec"⏎components = ["grid"] | profile = "generic-relay"⏎components = ["grid"] | devices.meter.components | no power for the meter `grid` |
home | components = ["grid"] | components = ["grid"]⏎points = { "grid.active_power" = "active_power" } | devices.meter.points | a meter's is `meter[1].active_power` |
home | components = ["grid"] | components = ["grid"]⏎points = { "grid.active_power" = "meter[1].actve_power" } | devices.meter.points | has no point `meter[1].actve_power` |
home | components = ["ev"] | components = ["ev"]⏎points = { "ev.active_power" = "evse_pwer" } | devices.charger.points | did you mean `evse_power`? |
home | components = ["ev"] | components = ["ev"]⏎points = { "ev.active_power" = "voltage_l1" } | devices.charger.points | is in V |
home | components = ["ev"] | components = ["ev"]⏎options = { phases = "1" } | devices.charger.options | has no option `phases`; it has none |
home | [components.battery] | [components.roof]⏎kind = "pv"⏎peak = "3 kW"⏎[components.battery] | components.roof.kind | no device feeds | kind = "pv"⏎peak = "3 kW"
"##;

#[test]
fn a_device_is_asked_whether_its_profile_can_feed_and_move_what_it_is_said_to() {
    let folder = tempfile::tempdir().unwrap();
    let read = |bad: &str| {
        std::fs::write(folder.path().join("site.toml"), bad).unwrap();
        match load(folder.path()) {
            Err(LoadError::Faults(faults)) => Some(faults),
            Ok(_) => None,
            Err(other) => panic!("{other}"),
        }
    };
    ROLES.lines().for_each(|row| check_by(row, &read));
}

/// Two roofs on one inverter, a hybrid in two maps, a state of charge from a device of its own: what is split by points is good.
#[test]
fn what_is_split_by_points_has_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let hybrid = "components = [\"pv\", \"battery\"]";
    let other = |profile: &str, unit: u8, rest: &str| {
        format!(
            "\n[devices.other]\naddress = \"tcp://127.0.0.1:15221\"\nunit = {unit}\nprofile = \"{profile}\"\n{rest}"
        )
    };
    let edge = "profile = \"solaredge-sunspec\"\ncomponents = [\"pv\"]";
    let rated = "\noptions = { rated_power = \"6 kW\" }\ncomponents = [\"battery\"]";
    for (what, to) in [
        (
            "a hybrid's two maps behind one unit",
            format!("{edge}{}", other("solaredge-storedge", 1, rated)),
        ),
        (
            "the state of charge from the battery itself",
            format!(
                "profile = \"sunspec\"\n{hybrid}{}",
                other(
                    "sungrow-sh",
                    7,
                    "components = [\"battery\"]\npoints = { \"battery.state_of_charge\" = \"soc\" }"
                )
            ),
        ),
    ] {
        let text = text("home-amsterdam").replace(&format!("profile = \"sunspec\"\n{hybrid}"), &to);
        assert!(text.contains("[devices.other]"), "{what}");
        std::fs::write(folder.path().join("site.toml"), text).unwrap();
        let (site, warnings) = load(folder.path()).unwrap_or_else(|e| panic!("{what}: {e:?}"));
        let shared = warnings.iter().any(|w| w.message.contains("they share one connection"));
        assert_eq!(shared, what.contains("one unit"), "{what}: {warnings:#?}");
        assert_eq!(
            site.movers()["battery"].as_str(),
            if shared { "other" } else { "inverter" }
        );
    }
    let two = text("home-amsterdam").replace(
        "[components.battery]",
        "[components.roof]\nkind = \"pv\"\npeak = \"3 kW\"\ncurtailable = false\n[components.battery]",
    );
    let fed = |points: &str| two.replace(hybrid, &format!("components = [\"pv\", \"roof\", \"battery\"]{points}"));
    let points =
        "\npoints = { \"pv.active_power\" = \"-mppt[1].dc_power\", \"roof.active_power\" = \"-mppt[2].dc_power\" }";
    for (points, good) in [("", false), (points, true)] {
        std::fs::write(folder.path().join("site.toml"), fed(points)).unwrap();
        match load(folder.path()) {
            Ok((site, _)) => {
                assert!(good);
                let feeds = site.feeds();
                let power = |c: &str| {
                    let of = |f: &&madang::site::Feed| {
                        f.component.as_str() == c && f.quantity == madang::reading::Quantity::ActivePower
                    };
                    feeds.iter().filter(of).map(|f| f.point.as_str()).collect::<Vec<_>>()
                };
                assert_eq!(
                    (power("pv"), power("roof")),
                    (vec!["mppt[1].dc_power"], vec!["mppt[2].dc_power"])
                );
            }
            Err(LoadError::Faults(faults)) => {
                assert!(!good, "{faults:#?}");
                assert!(
                    faults
                        .iter()
                        .any(|f| f.message.contains("`pv` and `roof` are each a pv")),
                    "{faults:#?}"
                );
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Total, phases and counters of a grid meter come from one meter, in any order of models; an inverter's total feeds no meter.
#[test]
fn a_sunspec_meter_is_fed_by_one_model() {
    let site = builtin("home-amsterdam").unwrap();
    let feeds = site.feeds();
    let points = |c: &str| {
        feeds
            .iter()
            .filter(|f| f.component.as_str() == c)
            .map(|f| f.point.as_str())
            .collect::<Vec<_>>()
    };
    let grid = points("grid");
    assert!(
        grid.len() >= 13 && grid.iter().all(|p| p.starts_with("meter[1].")),
        "{grid:?}"
    );
    let second = text("home-amsterdam").replace(
        "components = [\"grid\"]",
        "components = [\"grid\"]\npoints = { \"grid.active_power\" = \"meter[2].active_power\" }",
    );
    let (site, _) = parse("x", &second).unwrap();
    let feeds = site.feeds();
    let grid: Vec<&str> = feeds
        .iter()
        .filter(|f| f.component.as_str() == "grid")
        .map(|f| f.point.as_str())
        .collect();
    assert!(grid.iter().all(|p| p.starts_with("meter[2].")), "{grid:?}");
}

/// Warnings and errors of what makes no sense together: site | replaced | by | key | part | severity.
const SENSE: &str = r##"home | fuse = "25 A" | fuse = "4 A" | connection_point.fuse | below the 6 A that `ev` needs | error
seoul | fuse = "63 A" | fuse = "5 A" | circuits.chargers.fuse | below the 6 A that `charger-01` needs | error
seoul | fuse = "63 A" | fuse = "63 A"⏎power_max = "1 kW" | circuits.chargers.power_max | no car can ever charge | error
home | import_max = "8 kW" | import_max = "80 kW" | connection_point.import_max | more than the fuse carries (3 × 25 A | warning
home | time_zone = "Europe/Amsterdam" | time_zone = "Asia/Seoul" | location.time_zone | is no time zone of NL | warning
home | longitude = "4.90 deg" | longitude = "-4.90 deg" | location.latitude | not in NL | warning
home | country = "NL" | country = "US" | location.country | no public holidays are known of US | warning
home | country = "NL" | country = "Holland" | location.country | no ISO 3166 code | error
home | country = "NL" | country = "nl" | location.country | two capital letters | error
home | peak = "6 kW" | peak = "6000 kW" | components.pv.peak | is a unit wrong? | error
home | peak = "6 kW" | peak = "16 kW" | components.pv.peak | 3 times as much | warning
home | [timing] | [objective]⏎lifeline = { time = "40 h" }⏎[timing] | objective.lifeline.time | beyond the plan, which looks 30 h ahead | warning
home | current_min = "6 A" | current_min = "6 A"⏎discharge_max = "7 kW" | components.ev.discharge_max | unknown key | error
home | capacity = "10 kWh" | capacity = "10,5 kWh" | components.battery.capacity | write "10.5 kWh" | error
home | latitude = "52.37 deg" | latitude = "52,37 deg" | location.latitude | write "52.37 deg" | error
"##;

#[test]
fn what_makes_no_sense_together_is_told() {
    for row in SENSE.lines() {
        let (rest, severity) = row.rsplit_once(" | ").unwrap();
        let cells: Vec<String> = rest.split(" |").map(|c| c.trim().replace('⏎', "\n")).collect();
        let [site, from, to, key, part] = cells.as_slice() else {
            panic!("{row}")
        };
        let name = if site == "home" {
            "home-amsterdam"
        } else {
            "apartment-seoul"
        };
        let good = text(name);
        assert!(good.contains(from), "{row}");
        let faults = match parse("x", &good.replacen(from, to, 1)) {
            Ok((_, warnings)) => warnings,
            Err(faults) => faults,
        };
        let hit = faults
            .iter()
            .find(|f| f.key == *key && f.message.contains(part.as_str()));
        let hit = hit.unwrap_or_else(|| panic!("{row}\nonly {faults:#?}"));
        assert_eq!(json!(hit.severity), json!(severity), "{row}");
    }
}

#[test]
fn a_faulty_tariff_makes_no_other_price_faulty() {
    for (name, from, to, key) in [
        (
            "apartment-seoul",
            "hours = [\"22:00-08:00\"]",
            "hours = [\"23:00-08:00\"]",
            "tariff.import.period",
        ),
        (
            "apartment-seoul",
            "currency = \"KRW\"",
            "currency = \"won\"",
            "tariff.currency",
        ),
        ("island-microgrid", "currency = \"KRW\"\n", "", "tariff.currency"),
    ] {
        let good = text(name);
        assert!(good.contains(from), "{name}");
        let faults = parse("x", &good.replacen(from, to, 1)).unwrap_err();
        let errors: Vec<&str> = faults
            .iter()
            .filter(|f| f.severity == Severity::Error)
            .map(|f| f.key.as_str())
            .collect();
        assert_eq!(errors, [key], "{faults:#?}");
    }
}

#[test]
fn devices_of_one_profile_are_warned_of_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("site.toml"), text("apartment-seoul")).unwrap();
    let (_, warnings) = load(folder.path()).unwrap();
    let chargers: Vec<_> = warnings
        .iter()
        .filter(|w| w.key.starts_with("devices.charger-"))
        .collect();
    assert_eq!(chargers.len(), 1, "{warnings:#?}");
    let said = &chargers[0].message;
    assert!(
        said.contains("the same holds for") && said.contains("charger-12"),
        "{said}"
    );
}

fn check(row: &str) {
    check_by(row, &|bad| parse("site.toml", bad).err());
}

fn check_by(row: &str, faults_of: &dyn Fn(&str) -> Option<Vec<madang::site::Fault>>) {
    let cells: Vec<String> = row.split(" |").map(|c| c.trim().replace('⏎', "\n")).collect();
    let [site, from, to, key, part, at] = cells.as_slice() else {
        panic!("not six cells: {row}");
    };
    let names = [
        ("home", "home-amsterdam"),
        ("seoul", "apartment-seoul"),
        ("island", "island-microgrid"),
    ];
    let good = text(names.iter().find(|(short, _)| short == site).unwrap().1);
    let from_at = good.find(from).unwrap_or_else(|| panic!("no `{from}`: {row}"));
    let bad = good.replacen(from, to, 1);
    let faults = faults_of(&bad).unwrap_or_else(|| panic!("accepted: {row}"));
    let hit = faults.iter().find(|f| f.key == *key && f.message.contains(part));
    let hit = hit.unwrap_or_else(|| panic!("{row}\nonly {faults:#?}"));
    let offset = if at.is_empty() {
        from_at + to.len()
    } else {
        bad.find(at).unwrap_or_else(|| panic!("no `{at}`: {row}"))
    };
    assert_eq!(hit.line, bad[..offset].matches('\n').count() + 1, "{row}\n{hit:?}");
}

#[test]
fn each_kind_of_fault_is_named_in_place() {
    FAULTS.lines().for_each(check);
}

#[test]
fn wishes_of_a_site_file_are_read_with_their_units() {
    let wishes = text("home-amsterdam")
        .replace(
            "wear = \"0.01 EUR/kWh\"",
            "wear = \"0.01 EUR/kWh\"\n[[components.battery.goal]]\nat = \"06:30\"\nsoc = \"80 %\"\nworth = \"0.5 EUR/kWh\"",
        )
        .replace(
            "[timing]",
            "[tariff.capacity]\nsubscribed = \"6 kW\"\noverrun = \"0.4 EUR/kWh\"\n\
             [objective]\nown = { share = \"70 %\", missing = \"0.2 EUR/kWh\" }\n\
             lifeline = { time = \"12 h\", share = \"40 %\" }\n[timing]",
        );
    let (site, _) = parse("site.toml", &wishes).unwrap_or_else(|f| panic!("{f:#?}"));
    let Kind::Battery(b) = &site.plant.components["battery"].kind else {
        panic!()
    };
    let goal = &b.goals[0];
    assert!((goal.soc.as_ratio() - 0.8).abs() < 1e-12);
    assert_eq!(goal.worth.unwrap().as_per_kwh(), 0.5);
    assert_eq!(goal.at.to_string(), "06:30:00");
    let capacity = site.plant.tariff.capacity.unwrap();
    assert_eq!(capacity.subscribed.as_kw(), 6.0);
    assert_eq!(json!(capacity.overrun), json!({"energy": 0.4}));
    let o = &site.plant.objective;
    assert!((o.own.unwrap().share - 0.7).abs() < 1e-12);
    let lifeline = o.lifeline.unwrap();
    assert_eq!(
        (lifeline.time.num_hours(), lifeline.share, lifeline.missing),
        (12, 0.4, None)
    );
}

#[test]
fn one_bad_value_hides_no_other_fault() {
    let bad = text("home-amsterdam")
        .replace("peak = \"6 kW\"", "peek = \"6 kW\"")
        .replace("capacity = \"10 kWh\"", "capacity = 10")
        .replace("15221", "15220")
        .replace("components = [\"grid\"]", "components = [\"gird\"]")
        .replace("kind = \"dynamic\"\nfile = \"prices.csv\"", GAP)
        .replace("cycle = \"1 s\"", "cycle = \"1 s");
    let faults = parse("site.toml", &bad).unwrap_err();
    let keys: Vec<_> = faults.iter().map(|f| f.key.as_str()).collect();
    for key in [
        "",
        "components.pv.peek",
        "components.battery.capacity",
        "devices.inverter.address",
        "devices.meter.components",
        "tariff.import.period",
        "tariff.import.period[0].price",
    ] {
        assert!(keys.contains(&key), "{key} is not among {faults:#?}");
    }
}

/// A tariff without a price from noon to one, whose only row has no unit either.
const GAP: &str = "kind = \"time-of-use\"\n[[tariff.import.period]]\nname = \"day\"\ndays = [\"all\"]\nhours = [\"13:00-12:00\"]\nprice = 3";

#[test]
fn all_faults_come_at_once_in_the_order_of_their_lines() {
    let bad = text("home-amsterdam")
        .replace("import_max = \"8 kW\"", "import_max = 8")
        .replace("peak = \"6 kW\"", "peek = \"6 kW\"");
    let faults = parse("site.toml", &bad).unwrap_err();
    let errors = faults.iter().filter(|f| f.severity == Severity::Error);
    let keys: Vec<_> = errors.map(|f| f.key.as_str()).collect();
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

/// What of JSON Schema our schema uses, checked: the faults of `value`.
fn faults_by_schema(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(forms) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
        let fits = forms
            .iter()
            .filter(|f| faults_by_schema(f, value, at).is_empty())
            .count();
        return if fits == 1 {
            vec![]
        } else {
            vec![format!("{at}: fits {fits} forms")]
        };
    }
    let good = match schema["type"].as_str() {
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => schema["const"] == *value || schema["enum"].as_array().is_some_and(|e| e.contains(value)),
    };
    let mut faults = if good {
        vec![]
    } else {
        vec![format!("{at}: {value} is not as {schema}")]
    };
    for item in value.as_array().into_iter().flatten() {
        faults.extend(faults_by_schema(&schema["items"], item, at));
    }
    let Some(map) = value.as_object() else { return faults };
    for key in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !map.contains_key(key) {
            faults.push(format!("{at}.{key} is missing"));
        }
    }
    for (key, inner) in map {
        let at = format!("{at}.{key}");
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (Some(known), _) => faults.extend(faults_by_schema(known, inner, &at)),
            (None, Value::Bool(_) | Value::Null) => faults.push(format!("{at} is unknown")),
            (None, any) => faults.extend(faults_by_schema(any, inner, &at)),
        }
    }
    faults
}

#[test]
fn the_schema_accepts_the_shipped_sites_and_refuses_what_the_parser_refuses() {
    let schema = schema();
    for name in builtin_names() {
        let value = json_of(&text(&name));
        assert_eq!(faults_by_schema(&schema, &value, ""), Vec::<String>::new(), "{name}");
    }
    for (from, to) in [
        ("loss = \"2.5 W/K\"", "loss = 2.5"),
        ("share = \"100 %\"", "shear = \"100 %\""),
        ("arrival = \"17:45\"\n", ""),
        ("kind = \"dynamic\"\nfile", "kind = \"flat\"\nfile"),
    ] {
        let bad = text("home-amsterdam").replace(from, to);
        assert!(!faults_by_schema(&schema, &json_of(&bad), "").is_empty(), "{to}");
        assert!(parse("x", &bad).is_err(), "{to}");
    }
}

fn json_of(text: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Value>(text).unwrap()).unwrap()
}

#[test]
fn the_reference_in_the_docs_is_that_of_the_parser() {
    let file = format!("{}/docs/site-file.md", env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_to_string(file).unwrap();
    let (_, rest) = docs.split_once("<!-- reference: begin -->\n").unwrap();
    let (found, _) = rest.split_once("<!-- reference: end -->").unwrap();
    assert!(
        found.trim() == reference().trim(),
        "docs/site-file.md is behind the parser: put the output of `madang schema site --markdown` between its marks"
    );
}

/// A small but whole site: everything optional is left out.
const SMALL: &str = r#"
schema = "site/1"
name = "small"
[location]
latitude = "50 deg"
longitude = "4 deg"
time_zone = "Europe/Brussels"
country = "BE"
[connection_point]
import_max = "9 kW"
export_max = "9 kW"
fuse = "40 A"
phases = 1
meter = "grid"
[components.grid]
kind = "meter"
[components.pv]
kind = "pv"
peak = "3 kW"
[components.battery]
kind = "battery"
capacity = "5 kWh"
charge_max = "2 kW"
discharge_max = "2 kW"
[components.ev]
kind = "charge-point"
[components.home]
kind = "load"
daily = "8 kWh"
[devices.meter]
address = "rtu:///dev/ttyUSB0?baud=9600"
profile = "sunspec"
components = ["grid"]
[devices.rest]
address = "rtu:///dev/ttyUSB0?baud=9600"
unit = 2
profile = "sunspec"
components = ["pv", "battery"]
[devices.charger]
address = "rtu:///dev/ttyUSB0?baud=9600"
unit = 3
profile = "heidelberg-energy-control"
components = ["ev"]
[tariff]
currency = "EUR"
[tariff.import]
kind = "flat"
price = "0.3 EUR/kWh"
"#;

#[test]
fn a_site_that_leaves_out_what_it_may_is_whole_and_only_observes() {
    let (site, warnings) = parse("x", SMALL).unwrap();
    assert_eq!((site.plant.mode, warnings.len(), site.twin), (Mode::Observe, 0, None));
    assert_eq!(site.plant.components["home"].phases, [true, false, false]);
    let Kind::Pv(pv) = &site.plant.components["pv"].kind else {
        panic!("not a PV")
    };
    assert_eq!(pv.inverter_max, pv.peak);
}

#[test]
fn one_serial_line_has_one_speed_and_each_unit_once() {
    let rows = [
        ("unit = 2", "unit = 1", "already the address of `meter`"),
        ("baud=9600\"\nunit", "baud=19200\"\nunit", "a line is opened once"),
    ];
    for (from, to, part) in rows {
        let faults = parse("x", &SMALL.replace(from, to)).unwrap_err();
        assert!(
            faults
                .iter()
                .any(|f| f.key == "devices.rest.address" && f.message.contains(part)),
            "{faults:#?}"
        );
    }
}

#[test]
fn a_profile_is_built_in_or_a_good_file_beside_the_site() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    let found = |profile: &str, capacity: &str| {
        let text = SMALL
            .replacen("\"sunspec\"", &format!("\"{profile}\""), 1)
            .replace("\"5 kWh\"", capacity);
        std::fs::write(&file, text).unwrap();
        match load(&file) {
            Ok(_) => vec![],
            Err(LoadError::Faults(faults)) => faults.into_iter().map(|f| (f.key, f.message)).collect(),
            Err(other) => panic!("{other}"),
        }
    };
    let is_named = |faults: &[(String, String)], part: &str| {
        let at = |(k, m): &(String, String)| k == "devices.meter.profile" && m.contains(part);
        assert!(faults.iter().any(at), "{part}: {faults:?}");
    };
    is_named(&found("sunspek", "\"5 kWh\""), "did you mean `sunspec`?");
    let both = found("own", "5");
    is_named(&both, "there is no profile `own`");
    assert!(both.iter().any(|(k, _)| k == "components.battery.capacity"), "{both:?}");
    let profiles = folder.path().join("profiles");
    std::fs::create_dir(&profiles).unwrap();
    std::fs::write(profiles.join("own.toml"), "schema = 3").unwrap();
    is_named(&found("own", "\"5 kWh\""), "profiles/own.toml:1");
    std::fs::write(
        profiles.join("own.toml"),
        include_str!("../../src/profile/builtin/eastron-sdm120.toml"),
    )
    .unwrap();
    assert_eq!(found("own", "\"5 kWh\""), vec![]);
}

#[test]
fn the_program_prints_every_fault_and_says_so_by_its_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("site.toml"), SMALL.replace("\"9 kW\"", "9")).unwrap();
    let run = |args: &[&str]| {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_madang"))
            .args(args)
            .output()
            .unwrap();
        (out.status.code(), String::from_utf8(out.stdout).unwrap())
    };
    let bad = folder.path().to_str().unwrap();
    let (status, text) = run(&["check", bad]);
    assert_eq!(status, Some(1));
    assert!(text.contains("site.toml:10") && text.contains("site.toml:11"), "{text}");
    let (status, text) = run(&["check", "home-amsterdam", bad, "--json"]);
    let all: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (status, &all[0]["ok"], &all[1]["ok"]),
        (Some(1), &json!(true), &json!(false))
    );
    assert_eq!(all[1]["faults"][1]["key"], "connection_point.export_max");
    assert_eq!(run(&["check", "no-such-site"]).0, Some(3));
    let (status, text) = run(&["schema", "site"]);
    assert_eq!(
        (status, serde_json::from_str::<Value>(&text).unwrap()),
        (Some(0), schema())
    );
}

/// Values that have broken parsers before.
const NASTY: [&str; 14] = [
    "\"-1e300 s\"",
    "\"1e308 MW\"",
    "\"NaN kW\"",
    "\"-inf kW\"",
    "9223372036854775807",
    "-1",
    "\"\"",
    "[]",
    "{}",
    "[[]]",
    "\"24:00-00:00\"",
    "\"e kW\"",
    "1979-05-27",
    "\"한 kW\"",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _outcome = parse("x", &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_damaged_site_makes_the_parser_panic(
        which in 0usize..3, at in 0.0..1.0f64, cut in 0usize..60, put in "[\\[\\]=\"a-z0-9. \n{}-]{0,12}"
    ) {
        let mut bad = text(&builtin_names()[which]);
        let at = (at * bad.len() as f64) as usize;
        let start = (0..=at).rev().find(|i| bad.is_char_boundary(*i)).unwrap();
        let end = (start + cut..=bad.len()).find(|i| bad.is_char_boundary(*i)).unwrap_or(bad.len());
        bad.replace_range(start..end, &put);
        let _outcome = parse("x", &bad);
    }
}

#[test]
fn no_nasty_value_of_any_key_makes_the_parser_panic() {
    for name in ["home-amsterdam", "island-microgrid"] {
        let good = text(name);
        let lines: Vec<&str> = good.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some((key, _)) = line.split_once(" = ") else {
                continue;
            };
            for nasty in NASTY {
                let line = format!("{key} = {nasty}");
                let mut bad = lines.clone();
                bad[at] = &line;
                let _outcome = parse("x", &bad.join("\n"));
            }
        }
    }
}
