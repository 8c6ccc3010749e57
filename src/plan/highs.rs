//! HiGHS through good_lp for whole numbers, where it is compiled in (feature `highs`, see docs/planning.md). Linear
//! programs go to an instance that may be kept: `kept.rs`.

use super::program::Program;
use super::reduce::Reduced;
use super::solver::{Answer, Effort, RESIDUAL_MAX, SEARCH_RESIDUAL_MAX, constraint_of, sum};
use good_lp::solvers::highs::{HighsParallelType, HighsProblem, highs};
use good_lp::{Solution, SolutionStatus, SolverModel, Variable, WithInitialSolution, variable, variables};

/// Feasibility of rows and reduced costs, below what an answer is measured by.
const TOLERANCE: f64 = 1e-9;

/// Branch and bound; bounded by time alone, since good_lp passes on no limit of nodes. Where it was cut short its bound is
/// not known.
pub fn whole(program: &Program, effort: Effort, start: Option<&[f64]>) -> Result<Answer, String> {
    let reduced = Reduced::of(program)?;
    if reduced.free.is_empty() {
        return reduced.answer(program, &[], None, ("highs", RESIDUAL_MAX));
    }
    let (columns, model) = built(&reduced, program, reduced.price_scale(program));
    let gap = effort.gap.max(1e-9) as f32;
    let mut model = model.set_mip_rel_gap(gap).map_err(|e| format!("highs: {e}"))?;
    model = model.set_option("mip_feasibility_tolerance", TOLERANCE);
    if let Some(time) = effort.time {
        model = model.set_time_limit(time.as_secs_f64());
    }
    if let Some(x) = start {
        model = model.with_initial_solution(reduced.free.iter().zip(&columns).map(|(i, c)| (*c, x[*i])));
    }
    for row in &reduced.rows {
        model.add_constraint(constraint_of(row, &columns));
    }
    let solution = model.solve().map_err(|e| format!("highs: {e}"))?;
    let values: Vec<f64> = columns.iter().map(|c| solution.value(*c)).collect();
    let mut answer = reduced.answer(program, &values, None, ("highs", SEARCH_RESIDUAL_MAX))?;
    answer.gap = match solution.status() {
        SolutionStatus::TimeLimit => f64::INFINITY,
        _ => effort.gap,
    };
    Ok(answer)
}

/// Columns and costs; rows are still to come.
fn built(reduced: &Reduced, program: &Program, scale: f64) -> (Vec<Variable>, HighsProblem) {
    let mut vars = variables!();
    let columns: Vec<Variable> = reduced
        .free
        .iter()
        .map(|i| {
            let column = variable().min(reduced.low[*i]).max(reduced.high[*i]);
            vars.add(if program.integer[*i] { column.integer() } else { column })
        })
        .collect();
    let objective = sum(reduced
        .free
        .iter()
        .zip(&columns)
        .map(|(i, c)| (*c, program.cost[*i] / scale)));
    let model = vars
        .minimise(objective)
        .using(highs)
        .set_parallel(HighsParallelType::Off)
        .set_threads(1)
        .set_option("primal_feasibility_tolerance", TOLERANCE)
        .set_option("dual_feasibility_tolerance", TOLERANCE);
    (columns, model)
}
