//! Batteries by value and by rule.

use super::bench::Bench;
use crate::model::{Policy, Quantity, ReasonCode, Rung};

/// A step of the plan as the battery sees it.
#[derive(Clone, Copy)]
struct Row {
    worth: f64,
    buy: f64,
    sell: f64,
    /// Planned battery and grid power.
    plan: (f64, f64),
    load: f64,
    sun: f64,
    /// Battery power after settling, and why.
    want: (f64, ReasonCode),
}

fn check(rows: &[Row]) {
    for (n, row) in rows.iter().enumerate() {
        let mut b = Bench::new("home-amsterdam", Policy::Plan);
        b.kw.insert("home".into(), row.load);
        b.can.insert("pv".into(), row.sun);
        b.plan(|s| {
            s.buy.fill(Some(row.buy));
            s.sell.fill(Some(row.sell));
            s.marginal_value.insert("battery".into(), vec![row.worth; 96]);
            s.power_kw.get_mut("battery").unwrap().fill(row.plan.0);
            s.solution.plan.import_kw.fill(row.plan.1.max(0.0));
            s.solution.plan.export_kw.fill((-row.plan.1).max(0.0));
        });
        b.cycles(4);
        let kw = b.told_kw("battery");
        assert!((kw - row.want.0).abs() < 0.06, "row {n}: {kw} is not {}", row.want.0);
        assert_eq!(b.why("battery"), Some(row.want.1), "row {n}");
    }
}

const ROW: Row = Row {
    worth: 0.20,
    buy: 0.30,
    sell: 0.05,
    plan: (0.0, 0.0),
    load: 1.5,
    sun: 0.0,
    want: (-1.5, ReasonCode::CoverLoad),
};

#[test]
fn battery_covers_load_when_stored_kwh_is_cheaper() {
    check(&[
        ROW,
        // what is planned is no bound: the net load is
        Row {
            plan: (-0.4, 0.0),
            ..ROW
        },
        Row {
            worth: 0.40,
            want: (0.0, ReasonCode::HoldForLater),
            ..ROW
        },
    ]);
}

#[test]
fn surplus_is_stored_where_it_is_worth_more_than_export() {
    let sunny = Row {
        load: 0.5,
        sun: 3.0,
        want: (2.5, ReasonCode::StoreSurplus),
        ..ROW
    };
    check(&[
        sunny,
        Row {
            sell: 0.25,
            want: (0.0, ReasonCode::HoldForLater),
            ..sunny
        },
    ]);
}

#[test]
fn grid_charge_and_sale_happen_only_as_planned() {
    check(&[
        Row {
            worth: 0.40,
            plan: (2.0, 3.5),
            want: (2.0, ReasonCode::GridCharge),
            ..ROW
        },
        Row {
            worth: 0.10,
            sell: 0.30,
            plan: (-4.0, -2.5),
            want: (-4.0, ReasonCode::SellStored),
            ..ROW
        },
    ]);
}

#[test]
fn battery_follows_a_moving_load_without_swinging() {
    let mut b = Bench::new("home-amsterdam", Policy::Rule);
    for load in [0.5, 0.5, 3.0, 3.0, 3.0, 0.2, 0.2, 0.2] {
        b.kw.insert("home".into(), load);
        b.cycle();
        let kw = b.told_kw("battery");
        assert!((kw + load).abs() < 0.06, "{kw} for {load}");
    }
}

#[test]
fn an_empty_or_unknown_battery_rests() {
    for soc in [Some(0.08), None] {
        let mut b = Bench::new("home-amsterdam", Policy::Rule);
        b.kw.insert("home".into(), 2.0);
        match soc {
            Some(soc) => b.value("battery", Quantity::StateOfCharge, soc),
            None => b.values.retain(|(id, _), _| id.as_str() != "battery"),
        }
        b.cycles(3);
        assert_eq!(b.told_kw("battery"), 0.0);
    }
}

#[test]
fn battery_helps_when_the_import_limit_is_exceeded() {
    let mut b = Bench::new("home-amsterdam", Policy::Plan);
    b.kw.insert("home".into(), 9.0);
    b.plan(|s| {
        s.marginal_value.insert("battery".into(), vec![9.0; 96]);
    });
    b.cycles(3);
    let grid = b.grid() - b.kw["battery"] + b.told_kw("battery");
    assert!(
        grid <= 8.0 && b.why("battery") == Some(ReasonCode::LimitImport),
        "{grid}"
    );
}

#[test]
fn demand_peak_of_the_plan_is_held_within_the_window() {
    let mut b = Bench::new("apartment-seoul", Policy::Plan);
    b.kw.insert("common".into(), 70.0);
    b.plan(|s| {
        s.peak_kw = Some(55.0);
        s.marginal_value.insert("battery".into(), vec![900.0; 96]);
        s.buy.fill(Some(100.0));
        s.sell.fill(Some(80.0));
    });
    b.cycles(3);
    let kw = b.told_kw("battery");
    assert!((-17.0..-14.0).contains(&kw), "{kw}");
    assert_eq!(b.why("battery"), Some(ReasonCode::ShavePeak));
}

#[test]
fn idle_leaves_the_battery_alone() {
    let mut b = Bench::new("home-amsterdam", Policy::Idle);
    b.kw.insert("home".into(), 2.0);
    b.cycles(2);
    assert_eq!(b.told_kw("battery"), 0.0);
}

#[test]
fn without_a_valid_plan_the_rule_takes_over() {
    let mut b = Bench::new("home-amsterdam", Policy::Plan);
    b.kw.insert("home".into(), 2.0);
    assert_eq!(b.cycles(3).rung, Rung::Rule);
    assert_eq!(b.why("battery"), Some(ReasonCode::FallbackNoPlan));
    b.plan(|s| {
        s.marginal_value.insert("battery".into(), vec![9.0; 96]);
    });
    assert_eq!(b.cycle().rung, Rung::Normal);
    b.now += chrono::TimeDelta::minutes(30);
    assert_eq!(b.cycle().rung, Rung::LastPlan);
    b.now += chrono::TimeDelta::minutes(30);
    assert_eq!(b.cycle().rung, Rung::Rule);
}
