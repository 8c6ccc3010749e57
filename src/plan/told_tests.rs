//! Overrides: what a person told a component is what the plan does, as far as it can, and everything else goes around it.

use super::site_tests::{forecast, now, planned, plant, snapshot};
use crate::model::*;
use crate::site::{EvMode, Id, Kind, Plant};
use crate::units::{Current, Energy, Power};
use chrono::TimeDelta;

/// One person's word on one component of a shipped site.
#[derive(Clone, Copy)]
struct Case {
    site: &'static str,
    soc: f64,
    id: &'static str,
    target: Target,
    minutes: i64,
    /// Import limit of the grid operator for the same time, kW.
    limit: Option<f64>,
    mode: EvMode,
    edit: fn(&mut Plant),
    /// kW that the component is to draw in the first steps; whatever the plan likes after them.
    kw: &'static [f64],
    /// Reason of the last of these steps.
    code: ReasonCode,
}

const BASE: Case = Case {
    site: "home-amsterdam",
    soc: 0.5,
    id: "battery",
    target: Target::Release,
    minutes: 60,
    limit: None,
    mode: EvMode::Cheapest,
    edit: |_| (),
    kw: &[],
    code: ReasonCode::Override,
};

fn car(mode: EvMode) -> Session {
    Session {
        since: now(),
        departure: now() + TimeDelta::hours(10),
        energy: Energy::kwh(14.0),
        mode,
        delivered: Energy::ZERO,
        drawn: Energy::ZERO,
        counter: None,
        told: true,
        idle_since: None,
        woke: false,
    }
}

fn told(c: &Case) -> (Plant, Schedule) {
    let mut plant = plant(c.site);
    (c.edit)(&mut plant);
    let mut state = ControllerState::fresh(&plant, now());
    let until = now() + TimeDelta::minutes(c.minutes);
    let target = c.target;
    state.overrides.insert(Id::new(c.id), Override { target, until });
    if c.site == BASE.site {
        state.sessions.insert(Id::new("ev"), car(c.mode));
    }
    if let Some(kw) = c.limit {
        let told = ExternalLimit {
            source: Source::person(),
            direction: Direction::Import,
            power: Power::kw(kw),
            until,
            said_at: None,
        };
        state.limits = [told].into_iter().collect();
    }
    let s = planned(&plant, &snapshot(&plant, Some(c.soc)), &forecast(&plant, true), &state);
    (plant, s)
}

/// What is not as the row says.
fn fault(c: &Case) -> Option<String> {
    let (plant, s) = told(c);
    let id = Id::new(c.id);
    let label = format!("{} {:?} for {} min, {:?} {}", c.id, c.target, c.minutes, c.mode, c.soc);
    let got = &s.power_kw[&id][..c.kw.len()];
    if got.iter().zip(c.kw).any(|(got, kw)| (got - kw).abs() > 2e-3) {
        return Some(format!("{label}: {got:?}, not {:?}; {:?}", c.kw, s.solution.violations));
    }
    let until = now() + TimeDelta::minutes(c.minutes);
    let code = |step: usize| s.why[&id][step].reason.code;
    let (last, after) = (c.kw.len() - 1, s.grid.index_of(until).unwrap() + 1);
    if code(last) != c.code || code(after) == ReasonCode::Override {
        return Some(format!(
            "{label}: {:?} in step {last}, {:?} in {after}",
            code(last),
            code(after)
        ));
    }
    let e = s.explanation(&plant, &id, 0).unwrap();
    let local = until.with_timezone(&plant.location.time_zone);
    let (en, ko) = (e.reason(Language::En), e.reason(Language::Ko));
    let said = en.contains(&local.format("a person said so until %H:%M").to_string())
        && ko.contains(&local.format("%-H시 %-M분까지 사용자 지시").to_string());
    (!said || e.alternative.is_some()).then(|| format!("{label}: until {local} in {en} {ko} {:?}", e.alternative))
}

fn check(rows: &[Case]) {
    let faults: Vec<String> = rows.iter().filter_map(fault).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

fn kw(kw: f64) -> Target {
    Target::Power(Power::kw(kw))
}

fn amps(a: f64) -> Target {
    Target::Current(Current::amps(a))
}

/// Steps: 04:07:10 to 04:15, then quarter-hours. A car takes 0.69 kW an ampere; the household draws 0.3 kW; the battery's
/// standby loss of 20 W takes 0.021 kW through its charger.
#[test]
fn what_a_person_told_a_component_is_what_the_plan_does_for_as_long() {
    let no_grid = |plant: &mut Plant| {
        if let Some(Kind::Battery(b)) = plant.components.get_mut("battery").map(|c| &mut c.kind) {
            (b.grid_charge, b.grid_discharge) = (false, false);
        }
    };
    let full = ReasonCode::LimitSoc;
    let (ev, pump) = (
        Case { id: "ev", ..BASE },
        Case {
            id: "heat-pump",
            ..BASE
        },
    );
    let rows = [
        Case {
            target: kw(3.0),
            kw: &[3.0; 4],
            ..BASE
        },
        Case {
            target: kw(-2.0),
            kw: &[-2.0; 4],
            ..BASE
        },
        Case {
            target: kw(0.0),
            kw: &[0.0; 4],
            ..BASE
        },
        Case {
            target: Target::Release,
            kw: &[0.0; 4],
            ..BASE
        },
        Case {
            target: kw(3.0),
            minutes: 27,
            kw: &[3.0; 2],
            ..BASE
        },
        Case {
            target: kw(-4.0),
            edit: no_grid,
            kw: &[-4.0; 4],
            ..BASE
        },
        Case {
            target: kw(4.0),
            edit: no_grid,
            kw: &[4.0; 4],
            ..BASE
        },
        // 0.6 kWh of room, then what the standby loss takes; 0.2 kWh above the lowest charge
        Case {
            target: kw(5.0),
            soc: 0.94,
            kw: &[4.8587, 0.0211, 0.0211],
            code: full,
            ..BASE
        },
        Case {
            target: kw(-5.0),
            soc: 0.10,
            kw: &[-1.4363, 0.0211, 0.0211],
            code: full,
            ..BASE
        },
        // the household's 0.3 kW come first
        Case {
            target: kw(5.0),
            limit: Some(2.0),
            kw: &[1.7; 4],
            ..BASE
        },
        Case {
            kw: &[5.52; 4],
            target: amps(8.0),
            ..ev
        },
        Case {
            kw: &[5.52; 4],
            target: amps(8.0),
            mode: EvMode::Surplus,
            ..ev
        },
        Case {
            kw: &[0.0; 4],
            target: amps(0.0),
            mode: EvMode::Fast,
            ..ev
        },
        // until after the car has left: a person who says so knows that it stays empty
        Case {
            kw: &[0.0; 41],
            target: amps(0.0),
            minutes: 660,
            code: ReasonCode::NoCar,
            ..ev
        },
        // 11.04 kW against an import of 8 kW: the battery gives the rest, or there is none
        Case {
            kw: &[11.04; 4],
            target: amps(16.0),
            ..ev
        },
        Case {
            kw: &[7.6789; 4],
            target: amps(16.0),
            soc: 0.08,
            ..ev
        },
        Case {
            kw: &[2.0; 4],
            target: kw(2.0),
            ..pump
        },
        Case {
            kw: &[0.0; 4],
            target: kw(0.0),
            ..pump
        },
    ];
    check(&rows);
}

/// Steps from 13:07 local time: sun of 64 kW, the battery holds the voltage.
#[test]
fn on_an_island_a_person_is_obeyed_as_by_dispatch() {
    let island = Case {
        site: "island-microgrid",
        ..BASE
    };
    let of = |id| Case { id, ..island };
    let limit = Target::PowerLimit(Power::kw(5.0));
    let rows = [
        Case {
            target: kw(20.0),
            kw: &[-20.0; 4],
            ..of("generator")
        },
        Case {
            target: kw(0.0),
            kw: &[0.0; 4],
            ..of("generator")
        },
        Case {
            target: limit,
            kw: &[-5.0; 4],
            ..of("pv")
        },
        Case {
            target: Target::Release,
            kw: &[-63.9747, -63.8889],
            ..of("pv")
        },
        Case {
            target: Target::On(false),
            kw: &[0.0; 4],
            ..of("ice-plant")
        },
        Case {
            target: Target::On(true),
            kw: &[2.5; 4],
            ..of("ice-plant")
        },
        Case {
            target: Target::On(true),
            kw: &[9.0; 4],
            ..of("water-pump")
        },
        Case {
            target: Target::On(false),
            kw: &[0.0; 4],
            ..of("water-pump")
        },
    ];
    check(&rows);
}

#[test]
fn what_was_told_raises_the_peak_and_nobody_else_raises_it_further() {
    // no peak was paid for yet this month
    let fresh = |plant: &mut Plant| plant.tariff.demand.as_mut().unwrap().peak_so_far = Power::ZERO;
    let row = Case {
        site: "apartment-seoul",
        soc: 0.3,
        edit: fresh,
        minutes: 45,
        ..BASE
    };
    let peak = |target| {
        let (_, s) = told(&Case { target, ..row });
        let missed = s.solution.violations.iter().any(|v| v.name == "told_power");
        assert!(!missed, "{:?}", s.solution.violations);
        (s.peak_kw.unwrap(), s)
    };
    let (rest, resting) = peak(kw(0.0));
    let (charging, s) = peak(kw(50.0));
    let battery = &s.power_kw[&Id::new("battery")][..3];
    assert!(battery.iter().all(|kw| (kw - 50.0).abs() < 1e-3), "{battery:?}");
    assert!(
        charging > rest + 1.0,
        "{charging} kW, {rest} kW with the battery at rest"
    );
    // the whole windows of what was told: cars make room
    let cars = |s: &Schedule| -> f64 {
        let all = s.solution.plan.evs.values();
        all.map(|e| e.charge_kw[1..3].iter().sum::<f64>()).sum()
    };
    let (then, before) = (cars(&s), cars(&resting));
    assert!(
        then < before - 5.0,
        "{then} kW of cars, {before} with the battery at rest"
    );
}

#[test]
fn a_fast_car_that_was_told_to_wait_charges_at_once_afterwards() {
    let row = Case {
        id: "ev",
        target: amps(0.0),
        mode: EvMode::Fast,
        ..BASE
    };
    let (_, s) = told(&row);
    let kw = &s.power_kw[&Id::new("ev")];
    assert!(
        kw[..4].iter().all(|kw| kw.abs() < 1e-3) && kw[5] > 7.0,
        "{:?}",
        &kw[..8]
    );
}
