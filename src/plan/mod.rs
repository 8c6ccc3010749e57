//! Snapshot + Forecast → [`Problem`] → [`Solution`] → [`crate::model::Schedule`]: variables, constraints, objective, solve, explain.
//! Sees `plant`, never `wiring`.

mod alternative;
mod choices;
mod commit;
mod cuts;
mod explain;
mod extract;
mod formulation;
#[cfg(feature = "highs")]
mod highs;
mod improve;
mod interior;
#[cfg(feature = "highs")]
mod kept;
mod ldl;
mod problem;
mod program;
mod raw;
mod reduce;
mod round;
mod schedule;
mod search;
mod sensitivity;
#[cfg(test)]
mod site_tests;
mod solver;
mod steady;
#[cfg(test)]
mod told_tests;
mod validate;
#[cfg(test)]
mod wish_tests;

use crate::model::{Elastic, Problem, Solution, SolveStatus};
use crate::time::Stopwatch;

pub use alternative::{BothSides, Choice, alternatives, bounded, bus_price, exact, forced, stored_value};
pub use choices::choices;
pub use extract::in_objective;
pub use formulation::has_integers;
#[cfg(feature = "highs")]
pub use kept::Kept;
pub use problem::problem;
pub use raw::raw_clarabel_ms;
pub use schedule::{Made, schedule};
pub use sensitivity::Sensitivity;
pub use steady::{changed, kept_unless_it_pays, stick};

/// What may be asked for by name; `auto` begins with `interior` and searches whole numbers with `microlp`.
#[cfg(not(feature = "highs"))]
pub const SOLVERS: [&str; 4] = ["auto", "interior", "clarabel", "microlp"];
/// The same with HiGHS compiled in.
#[cfg(feature = "highs")]
pub const SOLVERS: [&str; 5] = ["auto", "interior", "clarabel", "microlp", "highs"];

/// What may plan for a running site.
#[cfg(not(feature = "highs"))]
pub const CONTROLLERS: [&str; 1] = ["auto"];
/// The same with HiGHS compiled in.
#[cfg(feature = "highs")]
pub const CONTROLLERS: [&str; 2] = ["auto", "highs"];

/// What HiGHS keeps from one plan to the next; nothing, where it is not compiled in.
#[cfg(not(feature = "highs"))]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept(());

#[cfg(not(feature = "highs"))]
impl Kept {
    /// The next plan begins, so many steps later.
    pub fn next(&self, _: usize) {}
    pub fn starts(&self) -> Starts {
        Starts::default()
    }
}

/// How often what was kept was of use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Starts {
    /// Programs solved from the last optimum.
    pub hot: usize,
    /// Programs solved without it.
    pub cold: usize,
    /// Of those, solved cold because the hot answer did not hold.
    pub refused: usize,
}

/// How to solve.
#[derive(Debug, Clone, PartialEq)]
pub struct SolveOptions {
    /// One of [`SOLVERS`].
    pub solver: String,
    /// Wall-clock bound; `None` in virtual time and in `solve` unless given.
    pub deadline: Option<std::time::Duration>,
    /// Bound on branch-and-bound nodes; `None` = until proven (or the deadline), 0 = rounding and polish only.
    pub nodes: Option<u64>,
    /// Relative gap at which a plan counts as optimal.
    pub gap: f64,
    /// What is kept from one plan to the next, of whoever plans again and again; read by HiGHS alone.
    pub kept: Option<Kept>,
}

impl SolveOptions {
    /// To the proven optimum, as `madang solve` does.
    pub fn exact() -> Self {
        Self {
            solver: "auto".into(),
            deadline: None,
            nodes: None,
            gap: 1e-7,
            kept: None,
        }
    }
    /// Cheap enough for every interval: bounded by nodes, so that virtual time is deterministic.
    pub fn controller() -> Self {
        Self {
            nodes: Some(150),
            gap: 1e-3,
            ..Self::exact()
        }
    }
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SolveError {
    #[error("{place}: {fault}")]
    BadProblem { place: String, fault: String },
    #[error("no solver gave a usable answer: {0}")]
    Failed(String),
    #[error("{0}")]
    Usage(String),
}

/// Reads a case of schema `ems-case-1` or our superset; a null takes the default, as an absent field does.
pub fn read_case(text: &str) -> Result<Problem, String> {
    let problem = match serde_json::from_str::<Problem>(text) {
        Ok(problem) => problem,
        Err(first) => {
            let mut value: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
            drop_nulls(&mut value);
            serde_json::from_value(value).map_err(|_| first.to_string())?
        }
    };
    validate::validate(&problem).map_err(|e| e.to_string())?;
    Ok(problem)
}

fn drop_nulls(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => (),
    }
}

/// Solves exactly the problem's objective; where hard limits leave no plan at all, the elastic form of the problem.
pub fn solve(problem: &Problem, options: &SolveOptions) -> Result<Solution, SolveError> {
    check_usage(problem, options)?;
    validate::validate(problem)?;
    match solve_with(problem, problem.elastic, options) {
        Err(SolveError::Failed(_)) if problem.elastic.is_none() => {
            solve_with(problem, Some(elastic_of(problem)), options)
        }
        result => result,
    }
}

fn check_usage(problem: &Problem, options: &SolveOptions) -> Result<(), SolveError> {
    let name = options.solver.as_str();
    if !SOLVERS.contains(&name) {
        let known = SOLVERS.join(", ");
        return Err(SolveError::Usage(format!(
            "`{name}` is not a solver; use one of {known}"
        )));
    }
    if ["interior", "clarabel"].contains(&name) && has_integers(problem) {
        return Err(SolveError::Usage(format!(
            "case {} has integers (exclusive, charge_min_kw, commitment, run-once or falling costs), which {name} cannot solve; use auto or microlp",
            problem.id
        )));
    }
    Ok(())
}

/// The same with what its duals say beyond prices; the elastic form only where the problem has one.
pub fn solve_explained(
    problem: &Problem,
    options: &SolveOptions,
) -> Result<(Solution, Option<Sensitivity>), SolveError> {
    check_usage(problem, options)?;
    validate::validate(problem)?;
    solve_model(problem, problem.elastic, options, &|_| {})
}

fn solve_with(problem: &Problem, elastic: Option<Elastic>, options: &SolveOptions) -> Result<Solution, SolveError> {
    solve_edited(problem, elastic, options, &|_| {})
}

/// Solves with an edit of the program, for questions of what if.
fn solve_edited(
    problem: &Problem,
    elastic: Option<Elastic>,
    options: &SolveOptions,
    edit: &dyn Fn(&mut formulation::Model<'_>),
) -> Result<Solution, SolveError> {
    solve_model(problem, elastic, options, edit).map(|(solution, _)| solution)
}

fn solve_model(
    problem: &Problem,
    elastic: Option<Elastic>,
    options: &SolveOptions,
    edit: &dyn Fn(&mut formulation::Model<'_>),
) -> Result<(Solution, Option<Sensitivity>), SolveError> {
    let watch = Stopwatch::start();
    let mut model = formulation::formulate(problem, elastic);
    edit(&mut model);
    let build_ms = watch.cpu_ms();
    let mut found = search::search(&model, options, &watch)?;
    extract::tidy(&model, &mut found.answer.x);
    let (violations, broken) = extract::violations(&model, &found.answer.x);
    let status = match (broken, found.cut_short && found.gap > options.gap) {
        (true, _) => SolveStatus::Relaxed,
        (false, true) => SolveStatus::Feasible,
        (false, false) => SolveStatus::Optimal,
    };
    let sensitivity = sensitivity::sensitivity(&model, &found.answer, found.whole);
    let solution = Solution {
        status,
        objective: model.money(&found.answer.x),
        gap: found.gap,
        solver: found.solver,
        violations,
        plan: extract::plan(&model, &found.answer.x),
        duals: extract::duals(&model, &found.answer),
        build_ms,
        solve_ms: watch.cpu_ms() - build_ms,
    };
    Ok((solution, sensitivity))
}

/// Names of the constraint families this problem's program has rows of; for tests of coverage.
pub fn families(problem: &Problem) -> std::collections::BTreeSet<&'static str> {
    let model = formulation::formulate(problem, problem.elastic);
    let mut names: std::collections::BTreeSet<_> = model.program.rows.iter().map(|r| r.family).collect();
    if !model.pairs.is_empty() {
        names.insert("constraint_pair_exclusive");
    }
    names
}

/// Solves without the rows of one constraint family; for tests that a case depends on it.
pub fn solve_without(problem: &Problem, family: &str, options: &SolveOptions) -> Result<Solution, SolveError> {
    let elastic = problem.elastic.or_else(|| Some(elastic_of(problem)));
    solve_edited(problem, elastic, options, &|m| {
        // rows keep their places, since duals are read by them
        let rows = std::rc::Rc::make_mut(&mut m.program.rows);
        for row in rows.iter_mut().filter(|r| r.family == family) {
            row.terms.clear();
            (row.sense, row.rhs) = (program::Sense::AtMost, 0.0);
        }
        if family == "constraint_pair_exclusive" {
            m.pairs.clear();
        }
    })
}

/// Highest price of a kWh that occurs in the problem, at least one unit of money.
fn highest_price(p: &Problem) -> f64 {
    let grid = p.grid.iter().flat_map(|g| g.buy.iter().chain(&g.sell));
    let fuel = p.gensets.iter().map(|g| &g.fuel_cost_per_kwh);
    let need = p
        .evs
        .iter()
        .map(|e| &e.shortfall_cost_per_kwh)
        .chain([&p.unserved_cost_per_kwh]);
    grid.chain(fuel)
        .chain(need)
        .fold(1.0, |top: f64, price| top.max(price.abs()))
}

/// Prices of broken limits: above everything the case itself prices.
fn elastic_of(p: &Problem) -> Elastic {
    let top = highest_price(p);
    Elastic {
        limit_per_kwh: 10.0 * top,
        soc_per_kwh: 10.0 * top,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two hours, PV, battery.
    pub fn small_home() -> Problem {
        read_case(
            r#"{"id":"small","steps":2,"step_hours":1.0,"load_kw":[1,2],"unserved_cost_per_kwh":10,
            "grid":{"import_max_kw":10,"export_max_kw":10,"buy":[0.2,0.4],"sell":[-0.05,0.05]},
            "pv":[{"id":"pv","available_kw":[5,0]}],
            "batteries":[{"id":"bat","soc_min_kwh":0,"soc_max_kwh":3,"soc_start_kwh":0,"charge_max_kw":2,
            "discharge_max_kw":2,"charge_eff":1.0,"discharge_eff":0.8,"loss_per_hour":null}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn surplus_is_stored_then_curtailed_and_never_sold_at_a_loss() {
        let s = solve(&small_home(), &SolveOptions::exact()).unwrap();
        assert!((s.objective - 0.16).abs() < 1e-7, "{s:?}");
        let duals = s.duals.unwrap();
        // one more kWh of load in hour 2 is bought at 0.40; in hour 1 PV is free
        assert!(
            (duals.bus[1] - 0.4).abs() < 1e-4 && duals.bus[0].abs() < 1e-4,
            "{duals:?}"
        );
    }
}
