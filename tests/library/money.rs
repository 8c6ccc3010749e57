//! One ledger: what the controller counts from its meters is what the report of the simulated day says, part by part, and
//! every exit shows the same numbers.

use crate::support::day::day_of;
use madang::backtest::{Market, RunSpec, run_watched, settle};
use madang::cycle::{CycleReport, samples};
use madang::model::{Costs, Policy};
use madang::site::{FuelUse, Kind, Site, builtin};
use madang::units::Power;
use std::cell::RefCell;
use std::sync::Arc;

/// One day under the plan; the report of its last cycle, and the costs that the twin's exact books give.
fn day(site: &Arc<Site>, seed: u64) -> (CycleReport, Costs) {
    let spec = RunSpec {
        seed,
        ..day_of(site, "2026-05-12")
    };
    let last = RefCell::new(None);
    let outcome = run_watched(&spec, &|report| {
        last.replace(Some(report.clone()));
    })
    .unwrap();
    let start = spec.start;
    let end = start + chrono::TimeDelta::days(3);
    let prices = Market::of(site, end).unwrap().map(|m| m.all());
    let costs = settle(&site.plant, &outcome.books, prices.as_deref(), outcome.month, start);
    (last.into_inner().unwrap(), costs)
}

/// `tolerance`: money that sampled powers and the last cycle may differ by from exact energies.
fn check(name: &str, seed: u64, tolerance: f64) {
    let site = Arc::new(builtin(name).unwrap());
    let (report, exact) = day(&site, seed);
    let today = &report.state.today;
    let pairs = [
        ("energy", today.costs.energy, exact.energy),
        ("demand", today.costs.demand, exact.demand),
        ("fuel", today.costs.fuel, exact.fuel),
        ("wear", today.costs.wear, exact.wear),
        ("carbon", today.costs.carbon, exact.carbon),
        ("stored", today.costs.stored, exact.stored),
        ("total", today.costs.total(), exact.total()),
    ];
    for (part, counted, exact) in pairs {
        assert!(
            (counted - exact).abs() <= tolerance,
            "{name}, {part}: {counted:.3} counted, {exact:.3} by the exact books"
        );
    }
    assert!(
        today.gap.seconds < 60.0,
        "{name}: {} s are not counted",
        today.gap.seconds
    );
    let shown = samples(&site.plant, &report);
    let shown = |field: &str| {
        shown
            .iter()
            .find(|s| s.kind == "day" && s.field == field)
            .unwrap()
            .value
    };
    assert_eq!(shown("cost"), today.costs.total(), "{name}");
    assert_eq!(shown("baseline_cost"), today.baseline.total(), "{name}");
    let parts =
        shown("energy_cost") + shown("demand_cost") + shown("fuel_cost") + shown("wear_cost") + shown("carbon_cost")
            - shown("stored_worth");
    assert!((parts - today.costs.total()).abs() < 1e-9, "{name}");
}

#[test]
fn home_to_the_cent() {
    check("home-amsterdam", 1, 0.01);
}

/// A day of 55,000 won with a demand charge.
#[test]
fn apartment_to_ten_won() {
    check("apartment-seoul", 1, 10.0);
}

/// Fuel, starts and running hours of a diesel: 155,000 won.
#[test]
fn island_to_the_last_start() {
    check("island-microgrid", 1, 100.0);
}

/// Litres of a dull day of the island, as the controller counts them and as the twin burnt them.
#[test]
fn litres_are_counted_by_the_fuel_curve_and_shown_nowhere_without_one() {
    let curve = FuelUse {
        per_kwh: 0.3,
        per_hour: 2.0,
    };
    for fuel_use in [Some(curve), None] {
        let mut site = builtin("island-microgrid").unwrap();
        for c in site.plant.components.values_mut() {
            match &mut c.kind {
                Kind::Generator(g) => g.fuel_use = fuel_use,
                // the generator must run
                Kind::Pv(pv) => pv.inverter_max = Power::kw(20.0),
                _ => (),
            }
        }
        let spec = RunSpec {
            policy: Policy::Rule,
            ..day_of(&Arc::new(site), "2026-05-12")
        };
        let last = RefCell::new(None);
        let keep = |report: &CycleReport| drop(last.replace(Some(report.clone())));
        let books = run_watched(&spec, &keep).unwrap().books;
        let report: CycleReport = last.into_inner().unwrap();
        let g = report.state.today.generators["generator"];
        assert!(g.run_h > 1.0 && g.starts > 0 && books.generator_run_h > 1.0, "{g:?}");
        let by_curve = fuel_use.map(|f| f.per_kwh * g.energy_kwh + f.per_hour * g.run_h);
        let sample = samples(&spec.site.plant, &report);
        let shown = sample.iter().find(|s| s.field == "day_fuel_litres").map(|s| s.value);
        assert_eq!(shown, g.litres);
        assert_eq!(books.fuel_litres.is_some(), fuel_use.is_some());
        match (g.litres, by_curve, books.fuel_litres) {
            (Some(counted), Some(expected), Some(burnt)) => {
                assert!(
                    (counted - expected).abs() < 1e-6,
                    "{counted} L, {expected} L by the curve"
                );
                assert!(
                    (counted / burnt - 1.0).abs() < 0.02,
                    "{counted} L counted, {burnt} L burnt"
                );
            }
            found => assert_eq!(found, (None, None, None)),
        }
    }
}
