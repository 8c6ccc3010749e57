//! The shipped sites planned on a made-up day.

use super::{Made, SolveOptions, problem, schedule, solve_explained};
use crate::check::check;
use crate::model::*;
use crate::reading::Reading;
use crate::site::{Id, Kind, Plant, builtin};
use crate::tariff::{KnownPrice, Peaks};
use crate::time::{Stopwatch, TimeGrid, Timestamp};
use crate::units::{Energy, Power, Price};
use chrono::{TimeDelta, TimeZone, Utc};
use std::collections::BTreeMap;

pub fn now() -> Timestamp {
    Utc.with_ymd_and_hms(2026, 5, 12, 4, 7, 10).unwrap()
}

pub fn plant(name: &str) -> Plant {
    builtin(name).unwrap().plant
}

fn quantiles(mean: Vec<f64>) -> Quantiles {
    Quantiles {
        p10: mean.clone(),
        p50: mean.clone(),
        p90: mean.clone(),
        mean,
    }
}

/// Evening peak in the load, a bell of sun, prices that fall at noon, one car at each charge point from step 0.
pub fn forecast(plant: &Plant, cars: bool) -> Forecast {
    forecast_at(plant, cars, now())
}

/// The same from an instant of that day on.
pub fn forecast_at(plant: &Plant, cars: bool, start: Timestamp) -> Forecast {
    let grid = TimeGrid::aligned(start, TimeDelta::minutes(15), TimeDelta::hours(24));
    let tz = plant.location.time_zone;
    let hour = |t: Timestamp| {
        use chrono::Timelike;
        let local = t.with_timezone(&tz);
        f64::from(local.hour()) + f64::from(local.minute()) / 60.0
    };
    let hours: Vec<f64> = grid.intervals().map(|i| hour(i.start)).collect();
    let series = |f: &dyn Fn(f64) -> f64| quantiles(hours.iter().map(|h| f(*h)).collect());
    let sun = |h: f64| (1.0 - ((h - 13.0) / 6.0).powi(2)).max(0.0);
    let (mut load, mut pv, mut sessions) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (id, c) in &plant.components {
        match &c.kind {
            Kind::Load(l) => {
                let mean = l.expected.daily.as_kwh() / 24.0;
                load.insert(
                    id.clone(),
                    series(&|h| mean * if (17.0..22.0).contains(&h) { 2.0 } else { 0.8 }),
                );
            }
            Kind::SheddableLoad(l) => {
                load.insert(id.clone(), series(&|_| l.expected.daily.as_kwh() / 24.0));
            }
            Kind::Pv(p) => {
                pv.insert(id.clone(), series(&|h| 0.8 * p.inverter_max.as_kw() * sun(h)));
            }
            Kind::ChargePoint(p) if cars => {
                let car = ExpectedSession {
                    arrival: now() - TimeDelta::hours(1),
                    departure: now() + TimeDelta::hours(10),
                    energy_kwh: p.default_session.energy.as_kwh(),
                    expected: false,
                    leaves_early: 0.05,
                };
                sessions.insert(id.clone(), vec![car]);
            }
            _ => (),
        }
    }
    let scale = if plant.tariff.currency == "KRW" { 400.0 } else { 1.0 };
    let price = |h: &f64| scale * (0.30 - 0.12 * sun(*h) + if (17.0..21.0).contains(h) { 0.15 } else { 0.0 });
    let known = |p: f64| {
        Some(KnownPrice {
            price: Price::per_kwh(p),
            estimated: false,
        })
    };
    Forecast {
        issued_at: now(),
        load,
        pv,
        outdoor: Some(series(&|h| 8.0 + 4.0 * sun(h))),
        buy: hours.iter().map(|h| known(price(h))).collect(),
        sell: hours.iter().map(|h| Some(Price::per_kwh(0.3 * price(h)))).collect(),
        sessions,
        models: BTreeMap::new(),
        grid,
    }
}

/// Everything measured: batteries at `soc`, tanks at 40 °C, rooms at 20.5 °C.
pub fn snapshot(plant: &Plant, soc: Option<f64>) -> Snapshot {
    let mut components = BTreeMap::new();
    for (id, c) in &plant.components {
        let mut q = BTreeMap::new();
        match (&c.kind, soc) {
            (Kind::Battery(_), Some(soc)) => {
                q.insert(Quantity::StateOfCharge, Reading::good(soc, now()));
            }
            (Kind::HeatPump(_), _) => {
                q.insert(Quantity::TankTemperature, Reading::good(40.0, now()));
                q.insert(Quantity::RoomTemperature, Reading::good(20.5, now()));
            }
            _ => (),
        }
        components.insert(id.clone(), q);
    }
    Snapshot {
        at: now(),
        components,
        grid: None,
        residual: None,
        rest: None,
        astray: None,
        devices: Vec::new(),
        doubts: Vec::new(),
    }
}

pub fn planned(plant: &Plant, snapshot: &Snapshot, forecast: &Forecast, state: &ControllerState) -> Schedule {
    let placed = problem(plant, snapshot, forecast, state);
    let watch = Stopwatch::start();
    let (solution, sensitivity) = solve_explained(&placed.problem, &SolveOptions::controller()).unwrap();
    let report = check(&placed.problem, &solution);
    println!(
        "{}: {} {:.1} ms, objective {:.3}, gap {:.4}, {:?}",
        plant.name,
        solution.solver,
        watch.cpu_ms(),
        solution.objective,
        solution.gap,
        solution.violations
    );
    assert!(report.ok, "{report:?}");
    schedule(Made {
        plant,
        placed: &placed,
        solution,
        sensitivity: sensitivity.as_ref(),
        worth: BTreeMap::new(),
        forecast,
        id: 1,
        trigger: Trigger::Start,
        now: now(),
    })
}

#[test]
fn every_shipped_site_gets_a_checked_plan_with_a_reason_for_every_step() {
    for name in ["home-amsterdam", "apartment-seoul", "island-microgrid"] {
        let plant = plant(name);
        let state = ControllerState::fresh(&plant, now());
        let s = planned(&plant, &snapshot(&plant, Some(0.5)), &forecast(&plant, true), &state);
        for (id, component) in &plant.components {
            assert_eq!(s.power_kw[id].len(), s.grid.len(), "{name} {id}");
            assert_eq!(s.why[id].len(), s.grid.len());
            if matches!(component.kind, Kind::Battery(_)) {
                assert!(s.marginal_value[id].iter().all(|v| v.is_finite()), "{name}");
            }
        }
        // grid = Σ components, wherever there is a meter
        if let Some(c) = &plant.connection {
            for t in 0..s.grid.len() {
                let sum: f64 = s
                    .power_kw
                    .iter()
                    .filter(|(id, _)| **id != c.meter)
                    .map(|(_, kw)| kw[t])
                    .sum();
                assert!((sum - s.power_kw[&c.meter][t]).abs() < 1e-5, "{name} step {t}");
            }
        }
    }
}

#[test]
fn any_measured_state_gives_a_plan() {
    for name in ["home-amsterdam", "apartment-seoul", "island-microgrid"] {
        let plant = plant(name);
        for soc in [None, Some(0.0), Some(0.03), Some(1.0), Some(1.3)] {
            for (import, cars) in [(None, true), (Some(0.0), true), (Some(1.0), false)] {
                let mut state = ControllerState::fresh(&plant, now());
                if let Some(kw) = import {
                    let until = now() + TimeDelta::hours(3);
                    let limit = |direction| ExternalLimit {
                        source: Source::person(),
                        direction,
                        power: Power::kw(kw),
                        until,
                        said_at: None,
                    };
                    state.limits = [Direction::Import, Direction::Export].map(limit).into_iter().collect();
                }
                let mut forecast = forecast(&plant, cars);
                if soc.is_none() {
                    forecast.buy.fill(None);
                    forecast.sell.fill(None);
                }
                planned(&plant, &snapshot(&plant, soc), &forecast, &state);
            }
        }
    }
}

#[test]
fn an_island_counts_on_less_sun_than_it_expects_and_a_site_with_a_grid_on_what_it_expects() {
    for (name, cautious) in [("island-microgrid", true), ("home-amsterdam", false)] {
        let plant = plant(name);
        let mut forecast = forecast(&plant, false);
        for q in forecast.pv.values_mut() {
            q.p10 = q.mean.iter().map(|kw| 0.4 * kw).collect();
        }
        let state = ControllerState::fresh(&plant, now());
        let placed = problem(&plant, &snapshot(&plant, Some(0.5)), &forecast, &state);
        for pv in &placed.problem.pv {
            let mean = &forecast.pv[&Id::new(&pv.id)].mean;
            let steps = pv.available_kw.iter().zip(mean).filter(|(_, mean)| **mean > 0.0);
            let shares: Vec<f64> = steps.map(|(sun, mean)| sun / mean).collect();
            let (low, high) = if cautious { (0.41, 0.95) } else { (1.0, 1.0) };
            assert!(
                !shares.is_empty() && shares.iter().all(|s| (low..=high).contains(s)),
                "{name} {shares:?}"
            );
        }
    }
}

#[test]
fn a_low_battery_starts_the_generator_before_a_load_is_shed() {
    let plant = plant("island-microgrid");
    let state = ControllerState::fresh(&plant, now());
    let s = planned(&plant, &snapshot(&plant, Some(0.21)), &forecast(&plant, false), &state);
    let shed: f64 = s.solution.plan.shed_kw.values().flatten().sum();
    assert!(shed < 1e-6, "{shed} kW shed over the steps");
}

#[test]
fn an_unknown_price_is_never_bought_into_the_battery() {
    let plant = plant("home-amsterdam");
    let state = ControllerState::fresh(&plant, now());
    let mut forecast = forecast(&plant, false);
    forecast.buy.iter_mut().skip(40).for_each(|p| *p = None);
    let s = planned(&plant, &snapshot(&plant, Some(0.1)), &forecast, &state);
    let battery = &s.power_kw[&Id::new("battery")];
    let import = &s.solution.plan.import_kw;
    assert!((40..s.grid.len()).all(|t| battery[t] < 0.01 || import[t] < 0.01));
    assert!(s.price_estimated[41] && s.buy[41].is_none());
}

#[test]
fn the_peak_already_paid_is_used_before_a_new_one_is_made() {
    let plant = plant("apartment-seoul");
    let mut state = ControllerState::fresh(&plant, now());
    let forecast = forecast(&plant, true);
    state.month.peaks = Peaks::of(Power::kw(5.0));
    let low = planned(&plant, &snapshot(&plant, Some(0.5)), &forecast, &state)
        .peak_kw
        .unwrap();
    state.month.peaks = Peaks::of(Power::kw(70.0));
    let high = planned(&plant, &snapshot(&plant, Some(0.5)), &forecast, &state)
        .peak_kw
        .unwrap();
    assert!(low < 55.0 && (high - 70.0).abs() < 1e-6, "{low} {high}");
}

#[test]
fn a_run_that_has_begun_goes_on_and_one_that_is_done_waits_for_tomorrow() {
    let plant = plant("island-microgrid");
    let pump = Id::new("water-pump");
    let forecast = forecast(&plant, false);
    let energy = |state: &ControllerState| -> (f64, f64) {
        let s = planned(&plant, &snapshot(&plant, Some(0.5)), &forecast, state);
        let kw = &s.power_kw[&pump];
        (kw[0], kw.iter().zip(s.grid.hours()).map(|(kw, h)| kw * h).sum())
    };
    let mut state = ControllerState::fresh(&plant, now());
    let (_, fresh) = energy(&state);
    assert!((fresh - 27.0).abs() < 1e-6, "one run of 3 h at 9 kW: {fresh}");
    let day = now().with_timezone(&plant.location.time_zone).date_naive();
    let day = (day - chrono::NaiveDate::default()).num_days() as i32;
    let started = Some(now() - TimeDelta::hours(1));
    state.shiftables.insert(
        pump.clone(),
        ShiftableHistory {
            day,
            started,
            done: false,
        },
    );
    let (first, running) = energy(&state);
    assert!(first > 8.9 && (running - 18.0).abs() < 1e-6, "{first} {running}");
    state.shiftables.insert(
        pump.clone(),
        ShiftableHistory {
            day,
            started,
            done: true,
        },
    );
    assert!(energy(&state).1 < 1e-6);
}

#[test]
fn a_car_that_must_be_fast_charges_first_and_a_surplus_car_only_from_the_sun() {
    let plant = plant("home-amsterdam");
    let ev = Id::new("ev");
    let session = |mode| Session {
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
    };
    let run = |mode| {
        let mut state = ControllerState::fresh(&plant, now());
        state.sessions.insert(ev.clone(), session(mode));
        planned(&plant, &snapshot(&plant, Some(0.5)), &forecast(&plant, true), &state)
    };
    let fast = run(crate::site::EvMode::Fast);
    let first_hour = fast.power_kw[&ev][..4].iter().sum::<f64>();
    assert!(first_hour > 4.0 * 4.0, "{first_hour}");
    let surplus = run(crate::site::EvMode::Surplus);
    for (t, kw) in surplus.power_kw[&ev].iter().enumerate() {
        assert!(
            *kw <= (surplus.pv_kw[t] - surplus.load_kw[t]).max(0.0) + 1e-5,
            "step {t}: {kw}"
        );
    }
}

/// The site's problem in money alone and with what needs whole numbers left free or out, so that prices are derivatives.
fn linear(mut p: Problem) -> Problem {
    p.taste = None;
    p.evs.iter_mut().for_each(|e| (e.asap, e.late_step) = (false, None));
    // no room to start in
    p.shiftable.iter_mut().for_each(|s| s.latest_step = s.earliest_step);
    p.grid.iter_mut().for_each(|g| g.exclusive = false);
    p.batteries.iter_mut().for_each(|b| b.exclusive = false);
    p.gensets.iter_mut().for_each(|g| g.commitment = false);
    p
}

#[test]
fn prices_of_the_shipped_sites_lie_between_what_a_little_less_and_a_little_more_change() {
    let options = SolveOptions::exact();
    for name in ["home-amsterdam", "apartment-seoul", "island-microgrid"] {
        let plant = plant(name);
        let forecast = forecast(&plant, true);
        let state = ControllerState::fresh(&plant, now());
        let p = linear(problem(&plant, &snapshot(&plant, Some(0.5)), &forecast, &state).problem);
        let (s, _) = solve_explained(&p, &options).unwrap();
        let duals = s.duals.unwrap();
        for t in [0, 1, p.steps / 2, p.steps - 1] {
            let sides = super::bus_price(&p, t, 1e-2, &options).unwrap();
            let tolerance = 1e-3 * (1.0 + duals.bus[t].abs());
            assert!(
                sides.less - tolerance <= duals.bus[t] && duals.bus[t] <= sides.more + tolerance,
                "{name} bus, step {t}: {} not in {sides:?}",
                duals.bus[t]
            );
            for b in &p.batteries {
                let worth = duals.storage[&b.id][t];
                let sides = super::stored_value(&p, &b.id, t, 1e-2, &options).unwrap();
                let tolerance = 1e-3 * (1.0 + worth.abs());
                assert!(
                    sides.more - tolerance <= worth && worth <= sides.less + tolerance,
                    "{name} {}, step {t}: {worth} not in {sides:?}",
                    b.id
                );
            }
        }
    }
}

/// Largest error of a row of the relaxed program, beside the row's own magnitude.
fn relative_residual(program: &super::program::Program, x: &[f64]) -> f64 {
    let error = |row: &super::program::Row| {
        let parts = || row.terms.iter().map(|(v, k)| k * x[v.0]);
        let over = parts().sum::<f64>() - row.rhs;
        let size = parts().fold(1.0 + row.rhs.abs(), |sum, part| sum + part.abs());
        let off = if row.sense == super::program::Sense::Equal {
            over.abs()
        } else {
            over
        };
        off / size
    };
    program.rows.iter().map(error).fold(0.0, f64::max)
}

#[test]
fn an_answer_lies_on_its_rows_so_that_a_day_of_them_adds_up_to_nothing() {
    let mut problems: Vec<Problem> = Vec::new();
    for name in ["home-amsterdam", "apartment-seoul", "island-microgrid"] {
        let plant = plant(name);
        let state = ControllerState::fresh(&plant, now());
        for soc in [0.1, 0.5, 0.95] {
            problems.push(problem(&plant, &snapshot(&plant, Some(soc)), &forecast(&plant, true), &state).problem);
        }
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/solver-tests/cases");
    for file in std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()) {
        if file.extension().is_some_and(|e| e == "json") {
            problems.push(super::read_case(&std::fs::read_to_string(file).unwrap()).unwrap());
        }
    }
    type Solver = fn(&super::program::Program) -> Result<super::solver::Answer, String>;
    let solvers: [(&str, Solver, f64); 2] = [
        ("interior", super::solver::with_interior, 1e-11),
        ("clarabel", super::solver::with_clarabel, 2e-9),
    ];
    for (solver, solve, most) in solvers {
        let mut worst = (0.0, String::new());
        let mut solved = 0;
        for p in &problems {
            let elastic = p.elastic.or_else(|| Some(super::elastic_of(p)));
            let program = super::formulation::formulate(p, elastic).program.relaxed();
            let Ok(answer) = solve(&program) else { continue };
            solved += 1;
            let residual = relative_residual(&program, &answer.x);
            if residual > worst.0 {
                worst = (residual, p.id.clone());
            }
        }
        assert_eq!(solved, problems.len(), "{solver}");
        assert!(worst.0 < most, "{solver}: {worst:?}");
    }
}
