//! Cars: modes, plan, scarce room.

use super::bench::Bench;
use crate::model::{Policy, Quantity, ReasonCode};
use crate::site::EvMode;
use chrono::TimeDelta;

/// One car at the home: who leads, its mode, hours until departure, kWh wanted, planned kW, sun kW.
struct Row {
    policy: Policy,
    mode: EvMode,
    hours: i64,
    kwh: f64,
    plan: f64,
    sun: f64,
    amps: (f64, f64),
    why: ReasonCode,
}

fn check(rows: &[Row]) {
    for (n, row) in rows.iter().enumerate() {
        let mut b = Bench::new("home-amsterdam", row.policy);
        b.kw.insert("home".into(), 0.4);
        b.can.insert("pv".into(), row.sun);
        // the battery is full and stays out of it
        b.value("battery", Quantity::StateOfCharge, 1.0);
        b.plug("ev", 11.0, row.mode, row.kwh, TimeDelta::hours(row.hours));
        if row.policy == Policy::Plan {
            b.plan(|s| {
                s.power_kw.get_mut("ev").unwrap().fill(row.plan);
                s.marginal_value.insert("battery".into(), vec![9.0; 96]);
                s.marginal_value.insert("ev".into(), vec![0.2; 96]);
            });
        }
        b.cycles(8);
        let amps = b.told_amps("ev");
        assert!((row.amps.0..=row.amps.1).contains(&amps), "row {n}: {amps} A");
        assert_eq!(b.why("ev"), Some(row.why), "row {n}");
    }
}

const PLAN: Row = Row {
    policy: Policy::Plan,
    mode: EvMode::Cheapest,
    hours: 12,
    kwh: 14.0,
    plan: 0.0,
    sun: 0.0,
    amps: (0.0, 0.0),
    why: ReasonCode::WaitCheaper,
};

#[test]
fn a_car_follows_the_plan_from_its_least_current_up() {
    check(&[
        PLAN,
        Row {
            plan: 4.5,
            amps: (6.0, 7.0),
            why: ReasonCode::FollowPlan,
            ..PLAN
        },
        // less than the least current: runs at that, and will pause when the energy is there
        Row {
            plan: 2.5,
            amps: (6.0, 6.0),
            why: ReasonCode::FollowPlan,
            ..PLAN
        },
    ]);
}

#[test]
fn a_car_charges_at_full_power_when_time_becomes_short_whatever_the_plan_says() {
    check(&[Row {
        hours: 1,
        // import limit 8 kW less margin and household
        amps: (7.0, 10.5),
        why: ReasonCode::LimitImport,
        ..PLAN
    }]);
}

#[test]
fn a_car_takes_surplus_that_it_values_above_the_export_price() {
    check(&[Row {
        sun: 5.4,
        amps: (6.9, 7.3),
        why: ReasonCode::ChargeSurplus,
        ..PLAN
    }]);
}

#[test]
fn surplus_mode_never_charges_from_the_grid_and_fast_mode_always_does() {
    let surplus = Row {
        mode: EvMode::Surplus,
        why: ReasonCode::ChargeSurplus,
        ..PLAN
    };
    let sunny = Row {
        sun: 5.4,
        amps: (6.9, 7.3),
        ..surplus
    };
    let fast = Row {
        mode: EvMode::Fast,
        amps: (7.0, 10.5),
        why: ReasonCode::LimitImport,
        ..PLAN
    };
    let surplus = Row {
        mode: EvMode::Surplus,
        why: ReasonCode::ChargeSurplus,
        ..PLAN
    };
    check(&[surplus, sunny, fast]);
}

#[test]
fn idle_charges_on_arrival() {
    check(&[Row {
        policy: Policy::Idle,
        amps: (7.0, 10.5),
        why: ReasonCode::LimitImport,
        ..PLAN
    }]);
}

#[test]
fn twelve_cars_share_one_fuse_and_none_gets_less_than_its_least() {
    let mut b = Bench::new("apartment-seoul", Policy::Idle);
    b.kw.insert("common".into(), 20.0);
    for n in 1..=12 {
        b.plug(
            &format!("charger-{n:02}"),
            7.04,
            EvMode::Fast,
            20.0,
            TimeDelta::hours(n),
        );
    }
    for cycle in 0..60 {
        b.cycle();
        for phase in 0..3 {
            let amps: f64 = (1..=12)
                .filter(|n| (n - 1) % 3 == phase)
                .map(|n| b.told_amps(&format!("charger-{n:02}")))
                .sum();
            assert!(amps <= 63.0, "cycle {cycle}, phase {phase}: {amps} A");
        }
    }
    let all: Vec<f64> = (1..=12).map(|n| b.told_amps(&format!("charger-{n:02}"))).collect();
    assert!(all.iter().all(|a| *a >= 6.0), "{all:?}");
    assert!(all.iter().sum::<f64>() > 3.0 * 60.0, "{all:?}");
    // the first to leave gets the most
    assert_eq!(all[0], 32.0);
}

#[test]
fn at_most_one_car_starts_in_a_cycle() {
    let mut b = Bench::new("apartment-seoul", Policy::Idle);
    for n in 1..=12 {
        b.plug(
            &format!("charger-{n:02}"),
            7.04,
            EvMode::Fast,
            20.0,
            TimeDelta::hours(9),
        );
    }
    let mut on = 0;
    for _ in 0..14 {
        b.cycle();
        let now = (1..=12)
            .filter(|n| b.told_amps(&format!("charger-{n:02}")) > 0.0)
            .count();
        assert!(now <= on + 1);
        on = now;
    }
    assert_eq!(on, 12);
}

#[test]
fn a_car_that_takes_nothing_frees_its_room() {
    let mut b = Bench::new("home-amsterdam", Policy::Idle);
    b.plug("ev", 0.0, EvMode::Fast, 14.0, TimeDelta::hours(9));
    b.cycles(10);
    assert!(b.told_amps("ev") > 6.0);
    b.cycles(130);
    assert_eq!(b.told_amps("ev"), 6.0);
}

#[test]
fn a_charger_without_a_car_offers_nothing() {
    let mut b = Bench::new("home-amsterdam", Policy::Rule);
    b.cycles(2);
    assert_eq!((b.told_amps("ev"), b.why("ev")), (0.0, Some(ReasonCode::NoCar)));
}

#[test]
fn a_load_that_comes_on_throttles_the_car_in_the_same_cycle() {
    let mut b = Bench::new("home-amsterdam", Policy::Idle);
    b.kw.insert("home".into(), 0.4);
    b.plug("ev", 11.0, EvMode::Fast, 14.0, TimeDelta::hours(9));
    b.cycles(10);
    let before = b.told_amps("ev");
    b.kw.insert("home".into(), 2.4);
    b.cycle();
    assert!(b.told_amps("ev") < before - 2.0, "{before} → {}", b.told_amps("ev"));
}

#[test]
fn cars_behind_one_fuse_are_short_together_before_each_is_alone() {
    // Four cars of 7 kW on one phase of 63 A want 12 kWh each: two hours for each alone, four for all of them.
    let amps = |hours: i64| {
        let mut b = Bench::new("apartment-seoul", Policy::Plan);
        b.plan(|_| {});
        b.kw.insert("common".into(), 20.0);
        let cars = ["charger-01", "charger-04", "charger-07", "charger-10"];
        for id in cars {
            b.plug(id, 7.04, EvMode::Cheapest, 12.0, TimeDelta::hours(hours));
        }
        b.cycles(40);
        cars.iter().map(|id| b.told_amps(id)).sum::<f64>()
    };
    assert_eq!(amps(6), 0.0);
    assert!(amps(4) > 55.0, "{} A", amps(4));
}
