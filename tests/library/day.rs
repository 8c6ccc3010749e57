//! One virtual day of each shipped site through the wire: what the report must say, and that it says the same twice.

use serde_json::Value;
use std::process::Command;

/// The report without what the machine's clock puts into it.
fn day(site: &str, seed: &str, cycle: &str) -> Value {
    let out = Command::new(env!("CARGO_BIN_EXE_madang"))
        .args([
            "demo", "--once", "--site", site, "--seed", seed, "--cycle", cycle, "--json",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(0), "{site}: {said}");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(
        !text.contains("-0.0,") && !text.contains("-0.0\n"),
        "{site}: a negative zero"
    );
    let mut report: Value = serde_json::from_str(&text).unwrap();
    report.as_object_mut().unwrap().remove("wall_s");
    report["plans"].as_object_mut().unwrap().remove("solve_ms");
    report
}

fn check(site: &str) -> Value {
    let report = day(site, "1", "10s");
    let number = |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    assert!(number("/energy_balance_error_kwh").abs() <= 1e-6, "{site}");
    assert!(number("/meter_against_integrated_percent").abs() <= 0.5, "{site}");
    assert_eq!(number("/limits/breaches"), 0.0, "{site}");
    assert!(number("/limits/binding_minutes") >= 30.0, "{site}: no limit was near");
    assert!(number("/writes/issued") > 0.0, "{site}: nothing was commanded");
    assert_eq!(number("/writes/issued"), number("/writes/verified"), "{site}");
    assert!(number("/plans/made") >= 90.0, "{site}");
    assert_eq!(number("/plans/fallback"), 0.0, "{site}");
    assert!(number("/cost/plan") < number("/cost/rule"), "{site}");
    assert!(
        number("/forecast_nmae/load") > 0.01,
        "{site}: the forecast cannot have known"
    );
    report
}

#[test]
fn home() {
    check("home-amsterdam");
}

#[test]
fn a_seed_is_a_day() {
    let day = |seed| day("home-amsterdam", seed, "30s");
    let first = day("1");
    assert_eq!(first, day("1"), "the same seed, another day");
    assert_ne!(
        first["journal_hash"],
        day("2")["journal_hash"],
        "another seed, the same day"
    );
}

#[test]
fn apartment() {
    check("apartment-seoul");
}

#[test]
fn island() {
    check("island-microgrid");
}
