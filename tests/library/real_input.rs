//! A week of a real Belgian home (load, PV, quarter-hour prices) through the in-memory wire. The series are third-party and
//! not shipped; where they are absent the test says so and is skipped.

use crate::support::shared;
use chrono::{NaiveDate, TimeDelta};
use madang::backtest::once;
use madang::model::Policy;
use madang::site::load;
use std::path::Path;
use std::sync::Arc;

const SITE: &str = r#"
schema = "site/1"
name = "be-house1"
mode = "control"

[location]
latitude = "50.85 deg"
longitude = "4.35 deg"
time_zone = "Europe/Brussels"
country = "BE"

[connection_point]
import_max = "9.2 kW"
export_max = "5 kW"
phases = 1
voltage = "230 V"
fuse = "40 A"
meter = "grid"

[components.grid]
kind = "meter"
phases = "L1"

[components.pv]
kind = "pv"
peak = "2.6 kW"
inverter_max = "2.5 kW"
tilt = "35 deg"
azimuth = "180 deg"
phases = "L1"

[components.battery]
kind = "battery"
capacity = "6.5 kWh"
soc_min = "5 %"
soc_max = "100 %"
charge_max = "3.2 kW"
discharge_max = "3.2 kW"
charge_efficiency = "95 %"
discharge_efficiency = "95 %"
wear = "0.01 EUR/kWh"
phases = "L1"

[components.home]
kind = "load"
daily = "11 kWh"
shape = "household"
max = "9 kW"
phases = "L1"

[devices.meter]
address = "tcp://127.0.0.1:15820"
profile = "sunspec"
components = ["grid"]

[devices.inverter]
address = "tcp://127.0.0.1:15821"
profile = "sunspec"
components = ["pv", "battery"]
control = true
writes_per_day = 100000

[tariff]
currency = "EUR"
import_fee = "0.14 EUR/kWh"
tax = "6 %"
grid_carbon = "0.15 kg/kWh"
[tariff.import]
kind = "dynamic"
file = "series.csv"
[tariff.export]
kind = "dynamic"
share = "100 %"
adder = "-0.01 EUR/kWh"

[timing]
cycle = "1 s"
interval = "15 min"
horizon = "30 h"

[twin]
load = "series.csv"
load_column = "load_kw"
pv = "series.csv"
pv_column = "pv_kw"
[twin.soc_start]
battery = "40 %"
"#;

fn site(series: &Path, folder: &Path) -> Arc<madang::site::Site> {
    std::fs::write(folder.join("site.toml"), SITE).unwrap();
    std::fs::copy(series, folder.join("series.csv")).unwrap();
    match load(folder) {
        Ok((site, _)) => Arc::new(site),
        Err(why) => panic!("{why}"),
    }
}

#[test]
fn a_real_week_costs_less_than_idle_and_no_more_than_the_rule() {
    let Some(series) = shared("data/home_be_house1_15min.csv") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let site = site(&series, folder.path());
    let mut sum = [0.0; 3];
    println!(
        "{:<12}{:>8}{:>8}{:>8}   load, PV forecast nMAE",
        "day", "idle", "rule", "plan"
    );
    for day in 6..13 {
        let date = NaiveDate::from_ymd_opt(2024, 5, day).unwrap();
        let report = once(&site, 1, date, 1, TimeDelta::seconds(10), Vec::new(), &|_, _| {}).unwrap();
        let cost = [Policy::Idle, Policy::Rule, Policy::Plan].map(|p| report.cost[&p]);
        println!(
            "{date:<12}{:>8.2}{:>8.2}{:>8.2}   {:?}",
            cost[0], cost[1], cost[2], report.forecast_nmae
        );
        sum.iter_mut().zip(cost).for_each(|(s, c)| *s += c);
        assert!(report.ok(), "{date}: {:?}", report.limits);
        assert_eq!((report.writes.failed, report.plans.fallback), (0, 0), "{date}");
        assert!(report.plans.made >= 90, "{date}: {} plans", report.plans.made);
    }
    println!("{:<12}{:>8.2}{:>8.2}{:>8.2}", "sum", sum[0], sum[1], sum[2]);
    assert!(sum[2] < sum[0] && sum[2] <= sum[1], "{sum:?}");
}
