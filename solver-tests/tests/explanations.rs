//! Prices and alternatives of the explanations, held against solving again.

use madang::check;
use madang::model::{Basis, Problem};
use madang::plan::{self, SolveOptions};
use std::path::Path;

fn case(name: &str) -> Problem {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("cases/{name}.json"));
    plan::read_case(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Linear cases with prices, batteries, peaks, circuits, cars, blocks.
const LINEAR: [&str; 8] = [
    "p01_tiny_arbitrage",
    "p03_tiny_ev_shortfall",
    "p04_tiny_peak_shaving",
    "p08_home_15min_ev",
    "h01_demand_window",
    "h04_blocks",
    "h06_circuit",
    "h17_standby",
];

fn some_steps(p: &Problem) -> Vec<usize> {
    let mut steps = vec![0, 1, p.steps / 3, p.steps / 2, p.steps - 1];
    steps.sort_unstable();
    steps.dedup();
    steps.retain(|t| *t < p.steps);
    steps
}

#[test]
fn a_bus_price_lies_between_what_a_little_less_and_a_little_more_load_change() {
    let options = SolveOptions::exact();
    let mut two_sided = 0;
    for name in LINEAR {
        let p = case(name);
        let (s, known) = plan::solve_explained(&p, &options).unwrap();
        let (duals, known) = (s.duals.unwrap(), known.unwrap());
        for t in some_steps(&p) {
            let sides = plan::bus_price(&p, t, 1e-2, &options).unwrap();
            let tolerance = 2e-4 * (1.0 + duals.bus[t].abs());
            assert!(
                sides.less - tolerance <= duals.bus[t] && duals.bus[t] <= sides.more + tolerance,
                "{name} step {t}: {} not in {sides:?}",
                duals.bus[t]
            );
            if known.two_sided[t] {
                two_sided += 1;
                let wide = sides.more - sides.less;
                assert!(
                    wide.abs() <= 2.0 * tolerance,
                    "{name} step {t} is called two-sided: {sides:?}"
                );
            }
        }
    }
    assert!(two_sided > 5, "some prices hold both ways: {two_sided}");
}

#[test]
fn the_worth_of_stored_energy_lies_between_what_a_little_more_and_a_little_less_are_worth() {
    let options = SolveOptions::exact();
    for name in ["p01_tiny_arbitrage", "p08_home_15min_ev", "h17_standby"] {
        let p = case(name);
        let s = plan::solve(&p, &options).unwrap();
        for b in &p.batteries {
            let worth = &s.duals.as_ref().unwrap().storage[&b.id];
            for t in some_steps(&p) {
                let Ok(sides) = plan::stored_value(&p, &b.id, t, 1e-2, &options) else {
                    continue;
                };
                let tolerance = 2e-4 * (1.0 + worth[t].abs());
                // more of it is worth less than what less of it would be missed
                assert!(
                    sides.more - tolerance <= worth[t] && worth[t] <= sides.less + tolerance,
                    "{name} {} step {t}: {} not in {sides:?}",
                    b.id,
                    worth[t]
                );
            }
        }
    }
}

#[test]
fn an_alternative_costs_what_solving_with_it_fixed_says_and_never_less_than_its_bound() {
    let options = SolveOptions::exact();
    let simplex = SolveOptions {
        solver: "microlp".into(),
        ..SolveOptions::exact()
    };
    let mut seen = 0;
    for name in [
        "p01_tiny_arbitrage",
        "p03_tiny_ev_shortfall",
        "p08_home_15min_ev",
        "h06_circuit",
        "h13_shed_by_worth",
    ] {
        let p = case(name);
        let (s, known) = plan::solve_explained(&p, &options).unwrap();
        let known = known.unwrap();
        for t in some_steps(&p).into_iter().take(3) {
            let exact = plan::alternatives(&p, &s, Some(&known), t, &options);
            let again = plan::alternatives(&p, &s, None, t, &simplex);
            assert_eq!(
                exact.keys().collect::<Vec<_>>(),
                again.keys().collect::<Vec<_>>(),
                "{name} step {t}"
            );
            for (part, a) in &exact {
                seen += 1;
                let b = again[part];
                assert_eq!((a.basis, b.basis), (Basis::Exact, Basis::Exact));
                let agree = (a.extra_cost - b.extra_cost).abs() < 1e-5 * (1.0 + a.extra_cost.abs());
                assert!(agree || a.missed_kwh > 1e-6, "{name} {part} step {t}: {a:?} {b:?}");
                assert!(
                    a.missed_kwh > 1e-6 || a.extra_cost > -1e-6,
                    "{name} {part} step {t}: {a:?}"
                );
                if let Some(bound) = plan::bounded(&p, &s, &known, part, t).filter(|_| a.missed_kwh < 1e-6) {
                    assert!(
                        bound.extra_cost <= a.extra_cost + 1e-5,
                        "{name} {part} step {t}: {bound:?} {a:?}"
                    );
                }
            }
        }
    }
    assert!(seen > 8, "{seen}");
}

#[test]
fn a_forced_choice_is_a_plan_that_the_checker_takes_and_does_what_was_told() {
    let options = SolveOptions::exact();
    for name in [
        "p01_tiny_arbitrage",
        "p03_tiny_ev_shortfall",
        "p06_tiny_genset_commitment",
        "p08_home_15min_ev",
    ] {
        let p = case(name);
        let s = plan::solve(&p, &options).unwrap();
        let t = 0;
        let parts: Vec<String> = p
            .batteries
            .iter()
            .map(|b| b.id.clone())
            .chain(p.gensets.iter().map(|g| g.id.clone()))
            .collect();
        for part in parts {
            for choice in plan::choices(&p, &s, None, &part, t) {
                let Ok(other) = plan::forced(&p, &choice, &options) else {
                    continue;
                };
                if let Some(b) = other.plan.batteries.get(&part) {
                    let kw = (b.charge_kw[t] - b.discharge_kw[t]).abs();
                    assert!((kw - choice.power_kw).abs() < 1e-6, "{name} {choice:?}: {kw}");
                    let report = check::check(&p, &other);
                    assert!(report.ok, "{name} {choice:?}: {report:?}");
                }
                assert!(
                    other.objective >= s.objective - 1e-6 * (1.0 + s.objective.abs()),
                    "{name} {choice:?}"
                );
            }
        }
    }
}

/// A part of each kind that has no law of dispatch yet, and a case in which it can do something else.
const PARTS: [(&str, &str); 6] = [
    ("h49_v2g", "ev"),
    ("h50_v2h", "ev"),
    ("h70_deferrable", "pump"),
    ("h24_chp_boiler", "chp"),
    ("h24_chp_boiler", "boiler"),
    ("h20_hydro", "dam"),
];

#[test]
fn every_kind_of_part_has_an_alternative_that_never_gains_anything() {
    let options = SolveOptions::exact();
    for (name, part) in PARTS {
        let p = case(name);
        let (s, known) = plan::solve_explained(&p, &options).unwrap();
        let others: Vec<_> = (0..p.steps)
            .filter_map(|t| plan::exact(&p, &s, known.as_ref(), part, t, &options))
            .collect();
        assert!(!others.is_empty(), "{name}: {part} has no choice");
        for a in others {
            let missed = a.missed_kwh > 1e-6 || a.missed_kelvin_hours > 1e-6;
            assert!(missed || a.extra_cost > -1e-6, "{name} {part}: {a:?}");
        }
    }
}

#[test]
fn what_an_alternative_leaves_cold_or_undone_is_said_beside_its_money() {
    let options = SolveOptions::exact();
    let missed = |p: &Problem, part: &str, of: fn(&madang::model::Alternative) -> f64| {
        let s = plan::solve(p, &options).unwrap();
        let others = (0..p.steps).filter_map(|t| plan::exact(p, &s, None, part, t, &options));
        others.map(|a| of(&a)).fold(0.0, f64::max)
    };
    // 2 kW for two hours must begin in hour 1, where it is planned, or before
    let mut washing = case("h09_run_once");
    washing.shiftable[0].latest_step = 3;
    assert!((missed(&washing, "washer", |a| a.missed_kwh) - 4.0).abs() < 1e-6);
    // the house that is held at 20 °C cools to 20·exp(−0.1) within the hour
    let cold = 20.0 * (1.0 - (-0.1f64).exp());
    let house = case("h80_building_loss");
    assert!((missed(&house, "hp", |a| a.missed_kelvin_hours) - cold).abs() < 1e-4);
}
