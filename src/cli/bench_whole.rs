//! The part of `madang bench plan` with whole numbers: sites of about 400 candidates, planned as the controller does, and what
//! that loses against a patient search.

use super::bench_problems as problems;
use crate::model::{Problem, Solution};
use crate::plan::{self, SolveOptions};
use serde::Serialize;
use std::time::Duration;

/// Seeds by family of problem; twenty in all.
const SEEDS: [(problems::Prices, u64); 4] = [
    (problems::Prices::Plain, 6),
    (problems::Prices::Congested, 5),
    (problems::Prices::NegativeNoon, 5),
    (problems::Prices::FeedInAboveBuy, 4),
];
/// Most CPU a problem should take, ms, and how many of a hundred must keep to it.
const IN_TIME_MS: f64 = 500.0;
const IN_TIME: f64 = 0.95;
/// CPU after which more than `LOSS` must not be lost, ms.
const LATE_MS: f64 = 1000.0;
const LOSS: f64 = 0.005;
/// Nodes of a patient search, where the first one proved less than that: twenty times the controller's.
const PATIENT: u64 = 20_000;

/// One family of problems with one solver.
#[derive(Debug, Serialize)]
pub struct Family {
    prices: String,
    solver: String,
    /// CPU ms of each seed.
    ms: Vec<f64>,
    /// Relative distance to the bound that was proven in that time.
    gaps: Vec<f64>,
    /// Relative loss against a patient search; nothing where the gap is smaller than what may be lost.
    losses: Vec<f64>,
}

pub fn families() -> Result<Vec<Family>, String> {
    let solvers = plan::SOLVERS
        .into_iter()
        .filter(|s| !["interior", "clarabel"].contains(s));
    let mut all = Vec::new();
    for solver in solvers {
        for (prices, seeds) in SEEDS {
            all.push(family(prices, seeds, solver)?);
        }
    }
    Ok(all)
}

fn family(prices: problems::Prices, seeds: u64, solver: &str) -> Result<Family, String> {
    let mut family = Family {
        prices: format!("{prices:?}"),
        solver: solver.to_owned(),
        ms: Vec::new(),
        gaps: Vec::new(),
        losses: Vec::new(),
    };
    for seed in 1..=seeds {
        let p = problems::site_with_integers(prices, seed)?;
        // as the controller does it, by nodes alone: a deadline would measure how busy the machine is
        let bounded = SolveOptions {
            // good_lp passes no bound of nodes on to HiGHS
            deadline: (solver == "highs").then_some(Duration::from_secs(1)),
            solver: solver.to_owned(),
            ..SolveOptions::controller()
        };
        let s = plan::solve(&p, &bounded).map_err(|e| format!("{}: {e}", p.id))?;
        family.ms.push(s.build_ms + s.solve_ms);
        family.gaps.push(s.gap);
        family.losses.push(if s.gap > LOSS { loss(&p, &s)? } else { 0.0 });
    }
    Ok(family)
}

/// Against a search of twenty times the nodes.
fn loss(p: &Problem, s: &Solution) -> Result<f64, String> {
    let patient = SolveOptions {
        nodes: Some(PATIENT),
        ..SolveOptions::controller()
    };
    let best = plan::solve(p, &patient).map_err(|e| format!("{}: {e}", p.id))?;
    Ok((s.objective - best.objective) / best.objective.abs().max(1.0))
}

fn worst(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

/// (what must hold, what was measured, whether it holds) of the default solver.
pub fn verdicts(families: &[Family]) -> impl Iterator<Item = (String, String, bool)> {
    let ours = || families.iter().filter(|f| f.solver == "auto");
    let times: Vec<f64> = ours().flat_map(|f| f.ms.iter().copied()).collect();
    let in_time = times.iter().filter(|ms| **ms <= IN_TIME_MS).count() as f64 / times.len() as f64;
    let late = |(ms, loss): (&f64, &f64)| (*ms > LATE_MS).then_some(*loss);
    let late = worst(ours().flat_map(|f| f.ms.iter().zip(&f.losses).filter_map(late)));
    let lost = worst(ours().flat_map(|f| f.losses.iter().copied()));
    [
        (
            format!(
                "400 whole numbers, {} seeds: {:.0} % within {IN_TIME_MS:.0} ms",
                times.len(),
                100.0 * IN_TIME
            ),
            format!("{:.0} %", 100.0 * in_time),
            in_time >= IN_TIME,
        ),
        (
            format!("none over {LATE_MS:.0} ms that loses more than {:.1} %", 100.0 * LOSS),
            format!("{:.2} %", 100.0 * late),
            late <= LOSS,
        ),
        (
            format!("none that loses more than {:.1} % at all", 100.0 * LOSS),
            format!("{:.2} %", 100.0 * lost),
            lost <= LOSS,
        ),
    ]
    .into_iter()
}

pub fn show(families: &[Family]) {
    println!(
        "\n{:<32}{:>6} {:<18}{:>9}{:>9}{:>9}{:>9}",
        "site with 400 whole numbers", "seeds", "solver", "median", "worst", "loss %", "gap %"
    );
    for f in families {
        let mut ms = f.ms.clone();
        ms.sort_by(f64::total_cmp);
        println!(
            "{:<32}{:>6} {:<18}{:>9.0}{:>9.0}{:>9.2}{:>9.2}",
            f.prices,
            ms.len(),
            f.solver,
            ms.get(ms.len() / 2).copied().unwrap_or(f64::NAN),
            worst(ms.iter().copied()),
            100.0 * worst(f.losses.iter().copied()),
            100.0 * worst(f.gaps.iter().copied())
        );
    }
    println!();
}
