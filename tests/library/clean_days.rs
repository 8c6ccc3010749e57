//! Days on which every device tells the truth: plausibility must not cry wolf.

use crate::support::day::day_of;
use chrono::TimeDelta;
use madang::backtest::{RunSpec, run_watched};
use madang::model::Policy;
use madang::site::builtin;
use std::cell::RefCell;
use std::sync::Arc;

/// In CI (`MADANG_REQUIRE_PEERS`) twenty, else a few.
fn seeds() -> u64 {
    if std::env::var_os("MADANG_REQUIRE_PEERS").is_some() {
        20
    } else {
        3
    }
}

fn check(name: &str) {
    let site = Arc::new(builtin(name).unwrap());
    for seed in 1..=seeds() {
        let day = 1 + (seed * 17) % 360;
        let date = chrono::NaiveDate::from_yo_opt(2026, day as u32).unwrap();
        let spec = RunSpec {
            policy: Policy::Rule,
            seed,
            cycle: TimeDelta::seconds(20),
            ..day_of(&site, &date.to_string())
        };
        let found = RefCell::new(Vec::new());
        run_watched(&spec, &|report| {
            let doubts = report.snapshot.doubts.iter();
            found
                .borrow_mut()
                .extend(doubts.map(|d| (report.snapshot.at, d.clone())));
        })
        .unwrap();
        let found = found.into_inner();
        let first = found.first();
        assert!(
            found.is_empty(),
            "{name}, seed {seed}: {} doubts, first {first:?}",
            found.len()
        );
    }
}

#[test]
fn home() {
    check("home-amsterdam");
}

#[test]
fn apartment() {
    check("apartment-seoul");
}

#[test]
fn island() {
    check("island-microgrid");
}
