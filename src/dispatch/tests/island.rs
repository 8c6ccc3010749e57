//! The island: generator, PV limit and loads keep the grid-forming battery alive.

use super::bench::Bench;
use crate::model::{Policy, Quantity, ReasonCode, Target};
use crate::units::Power;
use chrono::TimeDelta;

/// Policy, charge, village kW, sun kW, planned generator kW → generator kW range, PV limit range, loads served.
struct Row {
    policy: Policy,
    soc: f64,
    load: f64,
    sun: f64,
    plan: f64,
    generator: (f64, f64),
    limit: Option<(f64, f64)>,
    served: [bool; 3],
}

fn check(rows: &[Row]) {
    for (n, row) in rows.iter().enumerate() {
        let mut b = Bench::new("island-microgrid", row.policy);
        // in the morning, when the pump may still wait
        b.now -= TimeDelta::hours(12);
        b.value("battery", Quantity::StateOfCharge, row.soc);
        b.kw.insert("village".into(), row.load);
        b.can.insert("pv".into(), row.sun);
        if row.policy == Policy::Plan {
            b.plan(|s| {
                s.power_kw.get_mut("generator").unwrap().fill(-row.plan);
            });
        }
        b.cycles(5);
        let generator = b.told_kw("generator");
        assert!(
            (row.generator.0..=row.generator.1).contains(&generator),
            "row {n}: generator {generator}"
        );
        match (b.target("pv"), row.limit) {
            (Some(Target::PowerLimit(p)), Some((low, high))) => {
                assert!((low..=high).contains(&p.as_kw()), "row {n}: PV {p}");
            }
            (Some(Target::Release), None) => {}
            (Some(Target::PowerLimit(p)), None) => assert!(p.as_kw() > row.sun, "row {n}: PV {p}"),
            other => panic!("row {n}: {other:?}"),
        }
        let served = ["street-lights", "desalination", "ice-plant"].map(|id| b.target(id) == Some(Target::On(true)));
        assert_eq!(served, row.served, "row {n}");
        // the forming battery takes no setpoint
        assert_eq!(b.target("battery"), None);
    }
}

const CALM: Row = Row {
    policy: Policy::Plan,
    soc: 0.6,
    load: 15.0,
    sun: 10.0,
    plan: 0.0,
    generator: (0.0, 0.0),
    limit: None,
    served: [true; 3],
};

#[test]
fn generator_runs_by_plan_by_band_and_by_need() {
    check(&[
        CALM,
        Row {
            plan: 30.0,
            generator: (29.0, 31.0),
            ..CALM
        },
        // whatever the plan says, an empty battery starts it
        Row {
            soc: 0.13,
            generator: (28.0, 40.0),
            served: [true, true, false],
            ..CALM
        },
        Row {
            policy: Policy::Rule,
            soc: 0.25,
            generator: (40.0, 40.0),
            ..CALM
        },
        Row {
            policy: Policy::Rule,
            soc: 0.5,
            ..CALM
        },
        Row {
            policy: Policy::Idle,
            load: 30.0,
            sun: 0.0,
            // the pump runs too: by itself it starts as early as it may
            generator: (38.0, 40.0),
            ..CALM
        },
    ]);
}

#[test]
fn loads_are_shed_last_priority_last() {
    let low = Row {
        soc: 0.115,
        generator: (28.0, 40.0),
        served: [true, false, false],
        ..CALM
    };
    let out = Row {
        soc: 0.101,
        generator: (28.0, 40.0),
        served: [false, false, false],
        ..CALM
    };
    check(&[low, out]);
}

#[test]
fn sun_is_limited_to_what_load_and_a_full_battery_take() {
    check(&[Row {
        soc: 0.95,
        sun: 60.0,
        limit: Some((14.0, 15.1)),
        ..CALM
    }]);
}

#[test]
fn a_generator_runs_and_rests_its_minimum() {
    let mut b = Bench::new("island-microgrid", Policy::Plan);
    b.kw.insert("village".into(), 15.0);
    b.plan(|s| s.power_kw.get_mut("generator").unwrap().fill(-30.0));
    b.cycles(3);
    assert!(b.told_kw("generator") > 20.0);
    b.plan(|_| {});
    b.cycles(3);
    assert_eq!(b.why("generator"), Some(ReasonCode::GeneratorMinimum));
    b.now += TimeDelta::minutes(31);
    b.plan(|_| {});
    b.cycles(3);
    assert_eq!(b.told_kw("generator"), 0.0);
    b.plan(|s| s.power_kw.get_mut("generator").unwrap().fill(-30.0));
    b.cycles(3);
    assert_eq!(b.told_kw("generator"), 0.0);
}

#[test]
fn the_pump_runs_once_a_day_within_its_window() {
    for policy in [Policy::Idle, Policy::Rule, Policy::Plan] {
        let mut b = Bench::new("island-microgrid", policy);
        // 00:00 local
        b.now = super::bench::noon() + TimeDelta::hours(5);
        let mut hours = 0.0;
        for _ in 0..(26 * 60) {
            b.plan(|_| {});
            b.now += TimeDelta::seconds(59);
            b.cycle();
            if b.target("water-pump") == Some(Target::On(true)) {
                hours += 1.0 / 60.0;
            }
        }
        assert!((2.9..3.2).contains(&hours), "{policy:?}: {hours} h");
    }
}

#[test]
fn a_person_may_run_the_generator() {
    let mut b = Bench::new("island-microgrid", Policy::Rule);
    b.kw.insert("village".into(), 20.0);
    let told = crate::model::Override {
        target: Target::Power(Power::kw(20.0)),
        until: b.now + TimeDelta::hours(1),
    };
    b.state.overrides.insert("generator".into(), told);
    b.cycles(3);
    assert_eq!(
        (b.told_kw("generator"), b.why("generator")),
        (20.0, Some(ReasonCode::Override))
    );
}
