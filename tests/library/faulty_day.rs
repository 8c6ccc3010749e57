//! Days on which devices misbehave.
//!
//! One on which every device is slow, loses answers, answers late, is busy and takes one client only: nothing wrong is
//! used, no limit is broken, and control goes on. One on which the meter's answers are full of zeros now and then: the zeros
//! are not believed. One on which the battery holds its commands and does not obey: that is counted, and no limit is broken.

use crate::support::day::{day_of, faults};
use chrono::TimeDelta;
use madang::backtest::{Outcome as RunOutcome, RunSpec, run_watched};
use madang::model::WriteOutcome;
use madang::site::builtin;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

const FAULTS: [&str; 5] = [
    "all:slow=300ms",
    "all:drop=2%",
    "all:late=1%",
    "all:exception=0.5%",
    "all:one-client",
];

#[derive(Default)]
struct Seen {
    doubts: Vec<String>,
    stale_used: u64,
    verified: u64,
    failed: BTreeMap<String, u64>,
    cycles: u64,
    blind: u64,
    /// Cycles with a device asleep, and alarms by what they say.
    asleep: u64,
    alarms: BTreeMap<String, u64>,
}

/// A day of a site with these faults.
fn day(name: &str, said: &[&str]) -> (Seen, RunOutcome) {
    let site = Arc::new(builtin(name).unwrap());
    let spec = RunSpec {
        wire: true,
        faults: faults(&site, said),
        ..day_of(&site, "2026-05-12")
    };
    let seen = RefCell::new(Seen::default());
    let outcome = run_watched(&spec, &|report| {
        let mut seen = seen.borrow_mut();
        let now = report.snapshot.at;
        seen.cycles += 1;
        seen.blind += u64::from(report.snapshot.grid.is_some_and(|g| g.usable().is_none()));
        seen.asleep += u64::from(report.snapshot.devices.iter().any(|d| d.asleep));
        let silent = report.alarms.iter().filter(|a| a.code == "device_silent");
        silent.for_each(|a| *seen.alarms.entry(a.text_en.clone()).or_default() += 1);
        let doubts = report.snapshot.doubts.iter();
        seen.doubts
            .extend(doubts.map(|d| format!("{now} {}: {}", d.component, d.why)));
        let old = |r: &madang::reading::Reading<f64>| r.usable().is_some() && r.age(now) > TimeDelta::minutes(3);
        let readings = report.snapshot.components.values().flat_map(|c| c.values());
        seen.stale_used += readings.filter(|r| old(r)).count() as u64;
        for w in report.writes.iter() {
            match &w.outcome {
                WriteOutcome::Verified => seen.verified += 1,
                WriteOutcome::Failed(why) => *seen.failed.entry(why.clone()).or_default() += 1,
                _ => {}
            }
        }
    })
    .unwrap();
    (seen.into_inner(), outcome)
}

fn check(name: &str) {
    let (seen, outcome) = day(name, &FAULTS);
    let failed: u64 = seen.failed.values().sum();
    println!(
        "{name}: {} cycles ({} without the meter), {} plans, {} writes verified, {failed} failed ({:?}), {} breaches, worst {:.2} kW",
        seen.cycles,
        seen.blind,
        outcome.tally.plans,
        seen.verified,
        seen.failed,
        outcome.books.limits.breaches,
        outcome.books.limits.worst_excess_kw,
    );
    assert_eq!(
        seen.doubts,
        Vec::<String>::new(),
        "{name}: a slow device lies no more than a fast one"
    );
    assert_eq!(seen.stale_used, 0, "{name}");
    assert_eq!(outcome.books.limits.breaches, 0, "{name}: {:?}", outcome.books.limits);
    assert!(outcome.tally.plans >= 90, "{name}: {} plans", outcome.tally.plans);
    assert!(seen.verified > 500, "{name}: control stood still");
    assert!(
        failed * 20 < seen.verified,
        "{name}: {failed} of {} writes failed",
        seen.verified
    );
    assert!(seen.blind * 10 < seen.cycles, "{name}: blind for {} cycles", seen.blind);
}

#[test]
fn home() {
    check("home-amsterdam");
}

#[test]
fn zeros_in_place_of_powers_and_counters_break_no_limit() {
    if !patient() {
        return;
    }
    let (seen, outcome) = day("home-amsterdam", &["grid:zero=1%"]);
    let limits = outcome.books.limits;
    let zeros = seen.doubts.iter().filter(|d| d.contains("counters went back to zero"));
    assert!(zeros.count() > 20, "{:?}", seen.doubts);
    assert_eq!(limits.breaches, 0, "{limits:?}");
}

/// Days on which a limit was broken: by one absurd look, by an old reading of the meter beside new powers, by a meter that
/// stands still.
#[test]
fn absurd_values_break_no_limit() {
    if !patient() {
        return;
    }
    for (name, fault) in [
        ("home-amsterdam", "all:spike=10%"),
        ("home-amsterdam", "ev:word-swap=1%"),
        ("home-amsterdam", "all:drop=20%"),
        ("home-amsterdam", "all:frozen"),
    ] {
        let limits = day(name, &[fault]).1.books.limits;
        assert_eq!(limits.breaches, 0, "{name} {fault}: {limits:?}");
    }
}

/// One dead device is no reason to leave the car waiting: the meter shows what there is.
#[test]
fn a_dead_device_leaves_the_car_its_energy() {
    for fault in ["heat-pump:dead", "battery:dead"] {
        let books = day("home-amsterdam", &[fault]).1.books;
        assert!(
            books.ev_shortfall_kwh() < 0.1,
            "{fault}: {} kWh",
            books.ev_shortfall_kwh()
        );
        assert_eq!(books.limits.breaches, 0, "{fault}: {:?}", books.limits);
    }
}

#[test]
fn a_battery_that_does_not_obey_is_counted_and_breaks_no_limit() {
    if !patient() {
        return;
    }
    let (seen, outcome) = day("home-amsterdam", &["battery:unobeyed"]);
    let limits = outcome.books.limits;
    let disobeyed: u64 = seen
        .failed
        .iter()
        .filter(|(why, _)| why.contains("does not obey"))
        .map(|(_, n)| n)
        .sum();
    assert!(disobeyed > 50, "{:?}", seen.failed);
    assert_eq!(limits.breaches, 0, "{limits:?}");
    // a meter near zero all day is no reason to leave the car waiting
    assert_eq!(seen.doubts, Vec::<String>::new());
    let short = outcome.books.ev_shortfall_kwh();
    assert!(short < 0.1, "{short:?}");
}

#[test]
fn an_inverter_that_sleeps_at_night_calls_nobody_and_is_back_with_the_sun() {
    let (seen, outcome) = day("island-microgrid", &["pv:asleep"]);
    assert_eq!(seen.alarms, BTreeMap::new());
    // sun from 5:29 to 19:25 local time
    let hours = seen.asleep as f64 / seen.cycles as f64 * 24.0;
    assert!((9.0..11.5).contains(&hours), "asleep for {hours} h");
    assert_eq!(seen.doubts, Vec::<String>::new());
    assert_eq!(outcome.books.limits.breaches, 0);
    let free = day("island-microgrid", &[]).1;
    let (with, without) = (outcome.books.fuel_cost, free.books.fuel_cost);
    assert!((with - without).abs() < 0.02 * without, "{with} for {without}");
}

/// The larger sites take longer: where tests may (`MADANG_REQUIRE_PEERS`, as in CI).
fn patient() -> bool {
    let patient = std::env::var_os("MADANG_REQUIRE_PEERS").is_some();
    if !patient {
        println!("skipped: runs where MADANG_REQUIRE_PEERS is set");
    }
    patient
}

#[test]
fn apartment() {
    if patient() {
        check("apartment-seoul");
    }
}

#[test]
fn island() {
    if patient() {
        check("island-microgrid");
    }
}
