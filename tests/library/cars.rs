//! Days of cars: what they cost, and that nobody leaves without the energy that was promised.

use crate::support::day::day_of;
use chrono::TimeDelta;
use madang::backtest::{Outcome, RunSpec, run_watched, settle};
use madang::model::Policy;
use madang::site::{Mode, parse};
use std::sync::Arc;

/// A house with a car that comes at eight in the evening and leaves at half past seven; a kWh is cheap from five to eight.
const CHEAP_BEFORE_DEPARTURE: &str = r#"
schema = "site/1"
name = "cheap-before-departure"
[location]
latitude = "52.5 deg"
longitude = "13.4 deg"
time_zone = "Europe/Berlin"
country = "DE"
[connection_point]
import_max = "17 kW"
export_max = "11 kW"
phases = 3
fuse = "25 A"
meter = "grid"
[components.grid]
kind = "meter"
[components.home]
kind = "load"
daily = "10 kWh"
shape = "household"
max = "9 kW"
[components.car]
kind = "charge-point"
current_max = "16 A"
departure = "07:30"
energy = "20 kWh"
mode = "cheapest"
[tariff]
currency = "EUR"
[tariff.import]
kind = "time-of-use"
[[tariff.import.period]]
name = "cheap"
days = ["all"]
hours = ["05:00-08:00"]
price = "0.28 EUR/kWh"
[[tariff.import.period]]
name = "dear"
days = ["all"]
hours = ["00:00-05:00", "08:00-24:00"]
price = "0.40 EUR/kWh"
[tariff.export]
kind = "flat"
price = "0.08 EUR/kWh"
[twin.visits.car]
arrival = "20:00"
departure = "07:35"
scatter = "0 min"
energy = "20 kWh"
[devices.meter]
address = "tcp://127.0.0.1:15720"
profile = "sunspec"
components = ["grid"]
[devices.car]
address = "tcp://127.0.0.1:15722"
profile = "alfen-eve"
components = ["car"]
control = true
identity_confirmed = true
"#;

struct Days {
    plan: Outcome,
    cost: f64,
    rule_cost: f64,
}

fn days(site: &str, days: u32, seed: u64) -> Days {
    let (mut site, _) = parse("site.toml", site).unwrap();
    site.plant.mode = Mode::Control;
    let site = Arc::new(site);
    let run = |policy| {
        let spec = RunSpec {
            policy,
            seed,
            days,
            cycle: TimeDelta::seconds(60),
            ..day_of(&site, "2026-05-10")
        };
        let outcome = run_watched(&spec, &|_| {}).unwrap();
        let cost = settle(&site.plant, &outcome.books, None, outcome.month.clone(), spec.start).total();
        (outcome, cost)
    };
    let (plan, cost) = run(Policy::Plan);
    let (_, rule_cost) = run(Policy::Rule);
    Days { plan, cost, rule_cost }
}

#[test]
fn a_car_is_charged_in_the_cheap_hours_even_if_they_are_the_last_before_it_leaves() {
    for seed in 1..=2 {
        let d = days(CHEAP_BEFORE_DEPARTURE, 2, seed);
        assert!(
            d.cost <= 1.005 * d.rule_cost,
            "seed {seed}: {} instead of {}",
            d.cost,
            d.rule_cost
        );
        let short = d.plan.books.ev_shortfall_kwh();
        assert!(short < 0.1, "seed {seed}: {short} kWh short");
    }
}
