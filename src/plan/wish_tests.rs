//! Wishes of the site file: the problem holds each, the plan obeys it, and what is missed is named with its size.

use super::problem;
use super::site_tests::{forecast, now, planned, plant, snapshot};
use crate::model::{ControllerState, Forecast, Schedule};
use crate::site::{DailyGoal, Kind, Lifeline, Plant, ShareGoal};
use crate::tariff::{CapacityCharge, Overrun};
use crate::units::{Money, Power, Price, Soc};
use chrono::{NaiveTime, TimeDelta};

/// A dull day: what is wished costs something.
fn dull(plant: &Plant, cars: bool) -> Forecast {
    let mut forecast = forecast(plant, cars);
    let pv = forecast
        .pv
        .values_mut()
        .flat_map(|q| [&mut q.mean, &mut q.p10, &mut q.p50, &mut q.p90]);
    pv.flatten().for_each(|kw| *kw *= 0.1);
    forecast
}

fn plan(plant: &Plant, cars: bool, soc: f64) -> Schedule {
    let state = ControllerState::fresh(plant, now());
    planned(plant, &snapshot(plant, Some(soc)), &dull(plant, cars), &state)
}

fn missed(s: &Schedule, name: &str) -> f64 {
    let all = s.solution.violations.iter().filter(|v| v.name == name);
    all.map(|v| v.amount).sum()
}

fn imported(s: &Schedule) -> f64 {
    let hours = s.grid.hours();
    s.solution
        .plan
        .import_kw
        .iter()
        .zip(&hours)
        .map(|(kw, dt)| kw * dt)
        .sum()
}

#[test]
fn a_charge_wished_for_a_time_of_day_is_there_then_unless_it_is_worth_too_little() {
    for (worth, reached) in [(None, true), (Some(0.5), true), (Some(0.001), false)] {
        let mut plant = plant("home-amsterdam");
        if let Some(Kind::Battery(b)) = plant.components.get_mut("battery").map(|c| &mut c.kind) {
            b.goals = vec![DailyGoal {
                at: NaiveTime::from_hms_opt(8, 0, 0).unwrap(),
                soc: Soc::ratio(0.9),
                worth: worth.map(Price::per_kwh),
            }];
        }
        let state = ControllerState::fresh(&plant, now());
        let placed = problem(&plant, &snapshot(&plant, Some(0.3)), &forecast(&plant, false), &state);
        // 06:07 local: tomorrow's 08:00 lies beyond the day; the step that ends at 08:00 is the eighth
        let goals = &placed.problem.batteries[0].goals;
        assert_eq!(goals.iter().map(|g| g.step).collect::<Vec<_>>(), [7], "{goals:?}");
        let s = plan(&plant, false, 0.3);
        let kwh = s.solution.plan.batteries["battery"].energy_kwh[7];
        assert_eq!((kwh - 9.0).abs() < 1e-3, reached, "{worth:?}: {kwh}");
        assert_eq!(missed(&s, "soc_goal") < 1e-3, reached, "{worth:?}");
    }
}

#[test]
fn subscribed_power_is_kept_where_going_beyond_it_is_dear() {
    let charge = |overrun| CapacityCharge {
        subscribed: Power::kw(3.0),
        overrun,
        window: TimeDelta::minutes(15),
        peak_so_far: Power::ZERO,
    };
    // the first step is what is left of its window
    let highest = |s: &Schedule| s.solution.plan.import_kw.iter().skip(1).copied().fold(0.0, f64::max);
    let mut plant = plant("home-amsterdam");
    let free = highest(&plan(&plant, true, 0.3));
    assert!(free > 3.5, "{free}");
    for overrun in [Overrun::Energy(Price::per_kwh(2.0)), Overrun::Highest(Money::of(9.0))] {
        plant.tariff.capacity = Some(charge(overrun));
        let s = plan(&plant, true, 0.3);
        assert!(highest(&s) < 3.0 + 1e-3, "{overrun:?}: {}", highest(&s));
        assert!((s.peak_kw.unwrap() - 3.0).abs() < 1e-3, "{:?}", s.peak_kw);
    }
}

#[test]
fn of_the_months_highest_overrun_only_what_is_new_is_paid_and_of_energy_all_with_tax() {
    let mut plant = plant("home-amsterdam");
    plant.tariff.tax = 0.25;
    for (overrun, subscribed, per_kw, per_kwh) in [
        (Overrun::Highest(Money::of(8.0)), 4.0, 10.0, 0.0),
        (Overrun::Energy(Price::per_kwh(0.4)), 3.0, 0.0, 0.5),
    ] {
        plant.tariff.capacity = Some(CapacityCharge {
            subscribed: Power::kw(3.0),
            overrun,
            window: TimeDelta::minutes(15),
            peak_so_far: Power::kw(4.0),
        });
        let state = ControllerState::fresh(&plant, now());
        let placed = problem(&plant, &snapshot(&plant, Some(0.3)), &forecast(&plant, false), &state);
        let c = placed.problem.grid.unwrap().capacity.unwrap();
        assert_eq!(
            (c.free_kw(0), c.overrun_per_kw, c.overrun_per_kwh),
            (subscribed, per_kw, per_kwh)
        );
    }
}

#[test]
fn a_share_that_is_missed_is_named_and_dispatch_learns_what_it_adds_to_the_price() {
    let mut plant = plant("home-amsterdam");
    let free = imported(&plan(&plant, true, 0.3));
    plant.objective.own = Some(ShareGoal {
        share: 1.0,
        missing: Price::per_kwh(0.2),
    });
    let s = plan(&plant, true, 0.3);
    let import = imported(&s);
    assert!(import < free + 1e-3 && import > 1.0, "{import} {free}");
    // nothing may be imported: every imported kWh misses the wish
    assert!((missed(&s, "self_sufficiency") - import).abs() < 1e-2, "{import}");
    let wishes = &s.solution.duals.as_ref().unwrap().wishes;
    assert!(wishes.iter().all(|w| (w - 0.2).abs() < 1e-3), "{wishes:?}");
}

#[test]
fn renewable_energy_of_the_grid_counts_in_a_renewable_share() {
    for (of_grid, met) in [(1.0, true), (0.0, false)] {
        let mut plant = plant("home-amsterdam");
        plant.tariff.grid_renewable = of_grid;
        plant.objective.renewable = Some(ShareGoal {
            share: 0.99,
            missing: Price::per_kwh(0.1),
        });
        let s = plan(&plant, true, 0.3);
        assert_eq!(missed(&s, "renewable") < 1e-3, met, "{of_grid}");
    }
}

#[test]
fn a_lifeline_is_held_for_the_hours_to_come_also_beyond_the_horizon() {
    let mut plant = plant("home-amsterdam");
    let least = |s: &Schedule| {
        s.solution.plan.batteries["battery"]
            .energy_kwh
            .iter()
            .copied()
            .fold(f64::MAX, f64::min)
    };
    let free = least(&plan(&plant, false, 0.9));
    plant.objective.lifeline = Some(Lifeline {
        time: TimeDelta::hours(6),
        share: 1.0,
        missing: None,
    });
    let state = ControllerState::fresh(&plant, now());
    let placed = problem(&plant, &snapshot(&plant, Some(0.9)), &forecast(&plant, false), &state);
    let need = placed.problem.lifeline.unwrap().need_kwh;
    // 9 kWh a day: 0.3 kW, but 0.75 kW from 17 to 22 o'clock local; after 16:00 five hours of that and one of the other
    let after_16 = placed.grid.index_of(now() + TimeDelta::minutes(9 * 60 + 50)).unwrap();
    assert!(
        (need[after_16] - (1.0 * 0.3 + 5.0 * 0.75)).abs() < 0.08,
        "{}",
        need[after_16]
    );
    // the last step is 06:00: what comes after is taken from this morning
    assert!((need.last().unwrap() - 6.0 * 0.3).abs() < 1e-6, "{:?}", need.last());
    let s = plan(&plant, false, 0.9);
    let b = &placed.problem.batteries[0];
    for (t, kwh) in s.solution.plan.batteries["battery"].energy_kwh.iter().enumerate() {
        let gives = (kwh - b.soc_min_kwh) * b.discharge_eff;
        assert!(gives > need[t] - 1e-3, "{t}: {gives} {}", need[t]);
    }
    assert!(least(&s) > free + 0.5, "{} {free}", least(&s));
}
