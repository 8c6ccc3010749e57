//! Ladder, silence, limits; and what holds whatever happens.

use super::bench::Bench;
use crate::model::{CommandProof, Direction, ExternalLimit, Policy, Quantity, Rung, Source, Target};
use crate::site::{EvMode, Mode};
use crate::units::Power;
use chrono::TimeDelta;
use proptest::prelude::*;

#[test]
fn nothing_is_written_before_the_first_good_cycle() {
    let mut b = Bench::new("home-amsterdam", Policy::Rule);
    b.silent.insert("meter".into());
    let first = b.cycle();
    assert_eq!((first.rung, first.setpoints.len()), (Rung::Safe, 0));
    b.silent.clear();
    let good = b.cycle();
    assert!(good.rung == Rung::Normal && !good.setpoints.is_empty());
}

#[test]
fn export_limit_holds_when_meter_goes_silent() {
    let mut b = Bench::new("apartment-seoul", Policy::Rule);
    b.can.insert("pv".into(), 45.0);
    b.kw.insert("common".into(), 20.0);
    b.cycles(5);
    b.silent.insert("meter".into());
    b.cycles(7);
    assert_eq!(b.last.as_ref().map(|d| d.rung), Some(Rung::Safe));
    // 30 kW may be exported and nobody knows what is used
    assert_eq!(b.told_kw("pv"), 30.0);
    assert_eq!(b.told_kw("battery"), 0.0);
}

#[test]
fn a_heat_pump_is_given_back_once_the_rest_is_seen_to_be_down() {
    let mut b = Bench::new("home-amsterdam", Policy::Plan);
    b.plan(|_| {});
    b.kw.insert("home".into(), 0.3);
    b.plug("ev", 11.0, EvMode::Fast, 14.0, TimeDelta::hours(9));
    b.cycles(20);
    assert!(b.kw["ev"] > 4.0, "{:?}", b.kw);
    // the charger may go on with that while nobody sees the connection point: the heat pump would come on top
    b.silent.extend(["meter".into(), "charger".into()]);
    b.cycles(8);
    assert_eq!(b.last.as_ref().map(|d| d.rung), Some(Rung::Safe));
    assert_eq!(b.target("heat-pump"), Some(Target::Power(Power::ZERO)));
    // told to stop and seen to
    b.silent.remove("charger");
    b.cycles(3);
    assert_eq!(b.last.as_ref().map(|d| d.rung), Some(Rung::Safe));
    assert_eq!(b.target("heat-pump"), Some(Target::Release));
    // a building must not grow cold for a charger that stays silent
    let mut b = Bench::new("home-amsterdam", Policy::Plan);
    b.plan(|_| {});
    b.plug("ev", 11.0, EvMode::Fast, 14.0, TimeDelta::hours(9));
    b.cycles(20);
    b.silent.extend(["meter".into(), "charger".into()]);
    b.cycles(8);
    assert_eq!(b.target("heat-pump"), Some(Target::Power(Power::ZERO)));
    b.now += TimeDelta::minutes(11);
    b.cycles(1);
    assert_eq!(b.target("heat-pump"), Some(Target::Release));
}

#[test]
fn a_battery_supports_a_car_until_the_car_is_seen_to_be_down() {
    let mut b = Bench::new("home-amsterdam", Policy::Plan);
    b.plan(|s| s.power_kw.get_mut("ev").unwrap().fill(11.0));
    b.kw.insert("home".into(), 0.5);
    b.plug("ev", 11.0, EvMode::Fast, 14.0, TimeDelta::hours(1));
    b.cycles(40);
    let supports = b.told_kw("battery");
    assert!(supports < -2.0 && b.kw["ev"] > 5.0, "{supports} {:?}", b.kw);
    b.silent.insert("meter".into());
    b.stubborn.insert("ev".into());
    b.proofs.insert("ev".into(), (16.0, CommandProof::Verified));
    b.cycles(8);
    assert_eq!(b.last.as_ref().map(|d| d.rung), Some(Rung::Safe));
    assert_eq!((b.told_kw("battery"), b.told_amps("ev")), (supports, 0.0));
    // a stop that failed is no stop
    b.proofs.insert("ev".into(), (0.0, CommandProof::Failed("busy".into())));
    b.cycles(3);
    assert_eq!(b.told_kw("battery"), supports);
    b.proofs.insert("ev".into(), (0.0, CommandProof::Verified));
    b.cycle();
    assert_eq!(b.told_kw("battery"), 0.0);
}

#[test]
fn the_ladder_is_climbed_only_after_good_cycles() {
    let mut b = Bench::new("home-amsterdam", Policy::Rule);
    b.cycles(3);
    b.silent.insert("meter".into());
    b.cycles(8);
    b.silent.clear();
    let rungs: Vec<Rung> = (0..6).map(|_| b.cycle().rung).collect();
    assert_eq!(rungs.iter().filter(|r| **r == Rung::Safe).count(), 4, "{rungs:?}");
    assert_eq!(rungs.last(), Some(&Rung::Normal));
}

#[test]
fn a_silent_device_is_told_nothing_and_moves_no_independent_setpoint() {
    let run = |silent: bool| {
        let mut b = Bench::new("home-amsterdam", Policy::Rule);
        b.kw.insert("home".into(), 1.5);
        b.cycles(2);
        if silent {
            b.silent.insert("charger".into());
        }
        b.cycles(4);
        (b.target("ev"), b.told_kw("battery"))
    };
    let (alone, dead) = (run(false), run(true));
    assert_eq!(dead.0, None);
    assert_eq!(alone.1, dead.1);
}

#[test]
fn handing_back_releases_everything() {
    let mut b = Bench::new("home-amsterdam", Policy::Rule);
    b.cycles(2);
    b.state.rung = Rung::Released;
    b.state.mode = Mode::Observe;
    let decision = b.cycle();
    assert!(!decision.setpoints.is_empty());
    assert!(decision.setpoints.iter().all(|s| s.target == Target::Release));
}

#[test]
fn an_external_limit_holds_from_the_next_cycle_on() {
    let mut b = Bench::new("home-amsterdam", Policy::Idle);
    b.kw.insert("home".into(), 0.5);
    b.plug("ev", 11.0, EvMode::Fast, 14.0, TimeDelta::hours(9));
    b.cycles(10);
    let limit = ExternalLimit {
        source: Source::person(),
        direction: Direction::Import,
        power: Power::kw(5.5),
        until: b.now + TimeDelta::hours(1),
        said_at: None,
    };
    b.state.limits.tell(limit).unwrap();
    b.cycles(2);
    assert!(b.grid() <= 5.5, "{}", b.grid());
}

#[test]
fn setpoints_are_leases_with_rising_numbers() {
    let mut b = Bench::new("home-amsterdam", Policy::Rule);
    let mut last = 0;
    for _ in 0..3 {
        let now = b.now;
        for s in &b.cycle().setpoints {
            assert!(s.decision.0 > last && s.valid_until >= now + TimeDelta::seconds(30));
            last = s.decision.0;
        }
    }
}

/// Anything a home may meet.
#[derive(Debug, Clone)]
struct World {
    policy: Policy,
    loads: Vec<f64>,
    sun: f64,
    soc: f64,
    worth: f64,
    prices: (f64, f64),
    planned: (f64, f64, f64),
    car: Option<f64>,
}

fn world() -> impl Strategy<Value = World> {
    let policy = prop_oneof![Just(Policy::Idle), Just(Policy::Rule), Just(Policy::Plan)];
    let loads = prop::collection::vec(0.1..1.5f64, 12);
    let planned = (-5.0..5.0f64, 0.0..11.0f64, 0.0..3.0f64);
    let car = prop::option::of(1.0..20.0f64);
    let prices = (-0.1..0.5f64, -0.1..0.3f64);
    (
        policy,
        loads,
        0.0..5.5f64,
        0.0..1.0f64,
        -0.1..0.6f64,
        prices,
        planned,
        car,
    )
        .prop_map(|(policy, loads, sun, soc, worth, prices, planned, car)| World {
            policy,
            loads,
            sun,
            soc,
            worth,
            prices,
            planned,
            car,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn limits_and_ratings_hold_whatever_the_plan_says(w in world()) {
        let mut b = Bench::new("home-amsterdam", w.policy);
        b.can.insert("pv".into(), w.sun);
        b.value("battery", Quantity::StateOfCharge, w.soc);
        if let Some(kwh) = w.car {
            b.plug("ev", 11.0, EvMode::Cheapest, kwh, TimeDelta::hours(8));
        }
        b.plan(|s| {
            s.buy.fill(Some(w.prices.0));
            s.sell.fill(Some(w.prices.1));
            s.power_kw.get_mut("battery").unwrap().fill(w.planned.0);
            s.power_kw.get_mut("ev").unwrap().fill(w.planned.1);
            s.power_kw.get_mut("heat-pump").unwrap().fill(w.planned.2);
            s.marginal_value.insert("battery".into(), vec![w.worth; 96]);
            s.marginal_value.insert("ev".into(), vec![w.worth; 96]);
        });
        for load in w.loads {
            b.kw.insert("home".into(), load);
            b.cycle();
            if b.last.as_ref().is_some_and(|d| d.setpoints.is_empty()) {
                continue;
            }
            let battery = b.told_kw("battery");
            prop_assert!((-5.0..=5.0).contains(&battery));
            prop_assert!(w.soc > 0.08 || battery >= -1e-9, "discharges when empty: {}", battery);
            let amps = b.told_amps("ev");
            prop_assert!(amps == 0.0 || (6.0..=16.0).contains(&amps), "{} A", amps);
            if let Some(Target::Power(p)) = b.target("heat-pump") {
                prop_assert!(p == Power::ZERO || (0.6..=3.0).contains(&p.as_kw()), "{}", p);
            }
            b.snapshot();
            let grid = b.grid();
            prop_assert!((-17.0..=8.0 * 1.1).contains(&grid), "{} kW", grid);
        }
    }
}

#[test]
fn one_dead_device_changes_no_setpoint_of_an_independent_one() {
    for site in ["home-amsterdam", "apartment-seoul", "island-microgrid"] {
        let wiring = crate::site::builtin(site).unwrap().wiring.devices;
        let run = |silent: Option<&str>| {
            let mut b = Bench::new(site, Policy::Rule);
            b.cycles(3);
            b.silent.extend(silent.map(Into::into));
            b.cycles(4).setpoints.clone()
        };
        let alone = run(None);
        for (device, d) in &wiring {
            // everything depends on what balances the site
            let kinds = d.components.iter().map(|c| c.as_str());
            if kinds
                .clone()
                .any(|c| c == "grid" || (site == "island-microgrid" && c == "battery"))
            {
                continue;
            }
            let dead = run(Some(device.as_str()));
            for s in alone.iter().filter(|s| !d.components.contains(&s.component)) {
                let other = dead.iter().find(|o| o.component == s.component).map(|o| o.target);
                assert_eq!(
                    Some(s.target),
                    other,
                    "{site}: {device} is dead, {} changes",
                    s.component
                );
            }
            assert!(
                !dead.iter().any(|s| d.components.contains(&s.component)),
                "{site}: {device} is dead and told"
            );
        }
    }
}

#[test]
fn what_is_left_to_another_controller_is_told_nothing_and_may_draw_its_most() {
    use crate::model::{CommandHealth, CommandProof, ForeignWrite};
    let mut b = Bench::new("home-amsterdam", Policy::Rule);
    b.kw.insert("home".into(), 1.5);
    b.cycles(3);
    let mut snapshot = b.snapshot();
    let inverter = snapshot
        .devices
        .iter_mut()
        .find(|d| d.device.as_str() == "inverter")
        .unwrap();
    inverter.commands.push(CommandHealth {
        command: "battery_power".into(),
        component: "battery".into(),
        value: None,
        proof: CommandProof::Released,
        foreign: Some(ForeignWrite {
            found: "something".into(),
            since: b.now,
            reasserted: 3,
            yielded_until: Some(b.now + TimeDelta::days(1)),
        }),
        worn: None,
    });
    let told = crate::dispatch::decide(&b.plant, b.policy, &snapshot, &mut b.state, None, b.now);
    assert!(!told.setpoints.iter().any(|s| s.component.as_str() == "battery"));
    assert!(told.setpoints.iter().any(|s| s.component.as_str() == "ev"));
}
