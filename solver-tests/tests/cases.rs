//! Every case file against every solver that can take it. Adding a case adds no code.

use madang::check;
use madang::model::{Problem, SolveStatus};
use madang::plan::{self, SolveError, SolveOptions};
use solver_tests::generate;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn case_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "json"));
    files.sort();
    assert!(files.len() > 40);
    files
}

fn read(file: &Path) -> Problem {
    let text = std::fs::read_to_string(file).unwrap();
    plan::read_case(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// Faults of one case with one solver; empty where all holds.
fn faults(p: &Problem, solver: &str) -> Vec<String> {
    let expected = p.expected.as_ref().unwrap();
    let options = SolveOptions {
        solver: solver.into(),
        ..SolveOptions::exact()
    };
    let s = match plan::solve(p, &options) {
        Ok(s) => s,
        Err(SolveError::Usage(_)) if solver != "auto" => return Vec::new(),
        Err(e) => return vec![e.to_string()],
    };
    let mut faults = Vec::new();
    let (want, tolerance) = (
        expected["objective"].as_f64().unwrap(),
        expected["rel_tolerance"].as_f64().unwrap(),
    );
    if (s.objective - want).abs() > tolerance * want.abs().max(1.0) {
        faults.push(format!("objective {} not {want}", s.objective));
    }
    let status = expected["status"].as_str().unwrap_or("optimal");
    let relaxed = s.status == SolveStatus::Relaxed;
    if relaxed != (status == "relaxed") || s.status == SolveStatus::Feasible {
        faults.push(format!("status {:?} not {status}", s.status));
    }
    if relaxed && s.violations.is_empty() {
        faults.push("relaxed, but nothing is named".into());
    }
    let report = check::check(p, &s);
    faults.extend(report.faults);
    let totals = check::totals(p, &s);
    for (name, value) in expected["checks"].as_object().unwrap() {
        let got = totals.get(name).copied();
        if got.is_none_or(|got| (got - value.as_f64().unwrap()).abs() > 0.01) {
            faults.push(format!("{name} {got:?} not {value}"));
        }
    }
    faults
}

#[test]
fn every_case_holds_with_every_solver() {
    let mut all = Vec::new();
    for file in case_files() {
        let p = read(&file);
        for solver in plan::SOLVERS {
            all.extend(
                faults(&p, solver)
                    .into_iter()
                    .map(|f| format!("{} with {solver}: {f}", p.id)),
            );
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn the_relaxation_of_a_milp_is_never_dearer() {
    for file in case_files() {
        let p = read(&file);
        if let Some(bound) = p.expected.as_ref().and_then(|e| e["lp_relaxation_objective"].as_f64()) {
            let s = plan::solve(&p, &SolveOptions::exact()).unwrap();
            assert!(s.objective >= bound - 1e-6, "{}: {} below {bound}", p.id, s.objective);
        }
    }
}

/// Names of all functions that make rows, from the source itself.
fn written_families() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/plan");
    let mut written = BTreeSet::new();
    for file in std::fs::read_dir(folder.join("formulation"))
        .unwrap()
        .map(|f| f.unwrap().path())
        .chain([folder.join("search.rs")])
    {
        let text = std::fs::read_to_string(&file).unwrap();
        let names = text
            .split("fn constraint_")
            .skip(1)
            .filter_map(|rest| rest.split(['(', '<']).next());
        written.extend(names.map(|n| format!("constraint_{n}")));
    }
    assert!(written.len() > 40, "{written:?}");
    written
}

/// Small enough to be done by hand, with the arithmetic written out.
fn done_by_hand(file: &Path) -> bool {
    let text = std::fs::read_to_string(file).unwrap();
    let case: serde_json::Value = serde_json::from_str(&text).unwrap();
    let written = case["hand_arithmetic"].as_str().is_some_and(|text| text.len() > 40);
    written && case["steps"].as_u64().is_some_and(|steps| steps <= 8)
}

/// Without the family's rows the answer is another, or the checker refuses it.
fn depends_on(p: &Problem, family: &str) -> bool {
    let want = p.expected.as_ref().unwrap()["objective"].as_f64().unwrap();
    match plan::solve_without(p, family, &SolveOptions::exact()) {
        Err(_) => true,
        Ok(s) => (s.objective - want).abs() > 1e-5 * want.abs().max(1.0) || !check::check(p, &s).ok,
    }
}

#[test]
fn every_constraint_family_decides_two_cases_done_by_hand() {
    let written = written_families();
    let mut decides: BTreeMap<String, Vec<String>> = written.iter().map(|name| (name.clone(), Vec::new())).collect();
    for file in case_files() {
        let p = read(&file);
        for family in plan::families(&p) {
            assert!(
                written.contains(family),
                "rows of {family} come from a function of another name"
            );
            if done_by_hand(&file) && depends_on(&p, family) {
                decides.entry(family.to_owned()).or_default().push(p.id.clone());
            }
        }
    }
    decides.retain(|_, cases| cases.len() < 2);
    assert!(decides.is_empty(), "decide fewer than two cases: {decides:#?}");
}

#[test]
fn every_constraint_family_is_drawn_by_the_random_problems() {
    let mut missing = written_families();
    for seed in 0..400 {
        for p in [generate::random(seed), generate::with_integers(seed)] {
            plan::families(&p).iter().for_each(|name| {
                missing.remove(*name);
            });
        }
    }
    assert!(missing.is_empty(), "no random problem reaches {missing:?}");
}

#[test]
fn a_plan_that_was_tampered_with_is_refused() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/p08_home_15min_ev.json");
    let p = read(&file);
    let good = plan::solve(&p, &SolveOptions::exact()).unwrap();
    assert!(check::check(&p, &good).ok);
    type Change = fn(&mut madang::model::Solution);
    let changes: [(&str, Change); 7] = [
        ("power from nowhere", |s| s.plan.import_kw[5] -= 0.5),
        ("a battery beyond its power", |s| {
            s.plan.batteries.values_mut().for_each(|b| b.charge_kw[3] = 99.0)
        }),
        ("a state that does not follow", |s| {
            s.plan.batteries.values_mut().for_each(|b| b.energy_kwh[3] += 0.1)
        }),
        ("a car without its energy", |s| {
            s.plan.evs.values_mut().for_each(|e| e.shortfall_kwh -= 1.0)
        }),
        ("a cost that is not so", |s| s.objective -= 0.01),
        ("a missing step", |s| s.plan.export_kw.truncate(10)),
        ("not a number", |s| s.plan.import_kw[0] = f64::NAN),
    ];
    for (what, change) in changes {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(!check::check(&p, &bad).ok, "{what}");
    }
}
