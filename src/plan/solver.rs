//! The solvers behind one door: a [`Program`] in, a point that was measured here out. No status is believed.

use super::Kept;
use super::interior;
use super::program::{Program, Sense};
use super::reduce::{Reduced, ReducedRow};
use good_lp::solvers::clarabel::clarabel;
use good_lp::{
    Constraint, DualValues, Expression, Solution, SolutionWithDual, SolverModel, Variable, constraint, variable,
    variables,
};
use std::time::Duration;

/// Largest row violation (kW, kWh) of an answer that is taken.
pub const RESIDUAL_MAX: f64 = 1e-6;

/// Largest relative distance between an LP's cost and the bound its own duals prove.
const CERTIFIED: f64 = 1e-6;

/// The same for the search for whole numbers: only those are taken from its answer.
pub const SEARCH_RESIDUAL_MAX: f64 = 1e-3;

/// A measured answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// One value a column, inside its bounds.
    pub x: Vec<f64>,
    /// Change of the objective per unit of each row's right-hand side; `None` where the solver has no duals.
    pub duals: Option<Vec<f64>>,
    pub objective: f64,
    /// Relative distance to the bound the solver proved; 0 for a solved LP.
    pub gap: f64,
    pub solver: &'static str,
}

/// Bounds on a branch-and-bound search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    pub gap: f64,
    pub nodes: Option<u64>,
    pub time: Option<Duration>,
}

/// Solves an LP with our interior-point method; where its answer does not hold with Clarabel, then with a simplex. What
/// Clarabel says without a certificate is taken last.
pub fn linear(program: &Program, kept: Option<&Kept>) -> Result<Answer, String> {
    let then = |whys: String, next: Result<Answer, String>| next.map_err(|why| format!("{whys}; {why}"));
    with_interior(program)
        .or_else(|whys| then(whys, clarabel_certified(program)))
        .or_else(|whys| then(whys, with_highs(program, kept)))
        .or_else(|whys| then(whys, with_simplex(program)))
        .or_else(|whys| then(whys, with_clarabel(program)))
}

/// HiGHS on an LP, where it is compiled in; from what is kept of the last plan, where anything is.
#[cfg(feature = "highs")]
pub fn with_highs(program: &Program, kept: Option<&Kept>) -> Result<Answer, String> {
    super::kept::linear(program, kept)
}

#[cfg(not(feature = "highs"))]
pub fn with_highs(_: &Program, _: Option<&Kept>) -> Result<Answer, String> {
    Err("highs is not compiled in".into())
}

/// Branch and bound by the solver of that name: HiGHS where asked for, else microlp.
pub fn whole(solver: &str, program: &Program, effort: Effort, start: Option<&[f64]>) -> Result<Answer, String> {
    #[cfg(feature = "highs")]
    if solver == "highs" {
        return super::highs::whole(program, effort, start);
    }
    let _ = solver;
    with_microlp(program, effort, start)
}

/// Our interior-point method: an answer in the middle of the optimal face, with duals, taken only with its certificate.
pub fn with_interior(program: &Program) -> Result<Answer, String> {
    let reduced = Reduced::of(program)?;
    let scale = reduced.price_scale(program);
    let point = interior::solve(&reduced.columns(program, scale))?;
    let lows = reduced.free.iter().map(|i| reduced.low[*i]);
    let values: Vec<f64> = lows.zip(&point.x).map(|(low, x)| low + x).collect();
    let duals: Vec<f64> = point.duals.iter().map(|d| d * scale).collect();
    certified(&reduced, program, &values, duals, ("interior", RESIDUAL_MAX))
}

/// Measures the answer and takes it only where its own prices prove it the best.
pub fn certified(
    reduced: &Reduced,
    program: &Program,
    values: &[f64],
    duals: Vec<f64>,
    (solver, residual): (&'static str, f64),
) -> Result<Answer, String> {
    let bound = reduced.bound(program, &duals);
    let answer = reduced.answer(program, values, Some(duals), (solver, residual))?;
    let gap = (answer.objective - bound) / answer.objective.abs().max(1.0);
    if gap.is_nan() || gap > CERTIFIED {
        return Err(format!("{solver}: its prices leave a gap of {gap:.0e}"));
    }
    Ok(answer)
}

/// Clarabel, taken only where its own prices prove its answer the best.
fn clarabel_certified(program: &Program) -> Result<Answer, String> {
    let reduced = Reduced::of(program)?;
    let (values, duals) = by_clarabel(&reduced, program)?;
    certified(&reduced, program, &values, duals, ("clarabel", RESIDUAL_MAX))
}

/// Clarabel: interior answer and duals.
pub fn with_clarabel(program: &Program) -> Result<Answer, String> {
    let reduced = Reduced::of(program)?;
    let (values, duals) = by_clarabel(&reduced, program)?;
    reduced.answer(program, &values, Some(duals), ("clarabel", RESIDUAL_MAX))
}

/// Values of the columns that are left, brought onto the rows: what each row is off by would add up over a day.
fn onto_rows(reduced: &Reduced, program: &Program, values: Vec<f64>) -> Vec<f64> {
    let low = |k: usize| reduced.low[reduced.free[k]];
    let shifted = values.iter().enumerate().map(|(k, x)| x - low(k)).collect();
    match interior::onto_rows(&reduced.columns(program, 1.0), shifted) {
        Ok(x) => x.iter().enumerate().map(|(k, x)| low(k) + x).collect(),
        Err(_) => values,
    }
}

/// Values of the columns and duals of the rows that are left.
fn by_clarabel(reduced: &Reduced, program: &Program) -> Result<(Vec<f64>, Vec<f64>), String> {
    if reduced.free.is_empty() {
        return Ok((vec![], vec![]));
    }
    let mut vars = variables!();
    let columns: Vec<Variable> = reduced
        .free
        .iter()
        .map(|i| vars.add(variable().min(reduced.low[*i]).max(reduced.high[*i])))
        .collect();
    let scale = reduced.price_scale(program);
    let objective = sum(reduced
        .free
        .iter()
        .enumerate()
        .map(|(k, i)| (columns[k], program.cost[*i] / scale)));
    let mut model = vars.minimise(objective).using(clarabel);
    model
        .settings()
        .max_iter(300)
        .tol_gap_abs(1e-9)
        .tol_gap_rel(1e-9)
        .tol_feas(1e-9);
    let references: Vec<_> = reduced
        .rows
        .iter()
        .map(|row| model.add_constraint(constraint_of(row, &columns)))
        .collect();
    let mut solution = model.solve().map_err(|e| format!("clarabel: {e}"))?;
    let values: Vec<f64> = columns.iter().map(|c| solution.value(*c)).collect();
    let dual = solution.compute_dual();
    let duals = references.into_iter().map(|r| dual.dual(r) * scale).collect();
    Ok((onto_rows(reduced, program, values), duals))
}

/// microlp on an LP: a vertex, no duals.
pub fn with_simplex(program: &Program) -> Result<Answer, String> {
    let none = Effort {
        gap: 0.0,
        nodes: None,
        time: None,
    };
    with_microlp(&program.relaxed(), none, None)
}

/// microlp on a program; `start` seeds the incumbent. With integer columns its answer is coarse: fix them and solve the LP.
pub fn with_microlp(program: &Program, effort: Effort, start: Option<&[f64]>) -> Result<Answer, String> {
    let reduced = Reduced::of(program)?;
    if reduced.free.is_empty() {
        return reduced.answer(program, &[], None, ("microlp", RESIDUAL_MAX));
    }
    let scale = reduced.price_scale(program);
    let mut model = microlp::Problem::new(microlp::OptimizationDirection::Minimize);
    let columns: Vec<microlp::Variable> = reduced
        .free
        .iter()
        .map(|i| match program.integer[*i] {
            true => model.add_integer_var(
                program.cost[*i] / scale,
                (reduced.low[*i] as i32, reduced.high[*i] as i32),
            ),
            false => model.add_var(program.cost[*i] / scale, (reduced.low[*i], reduced.high[*i])),
        })
        .collect();
    for row in &reduced.rows {
        let terms: Vec<(microlp::Variable, f64)> = row.terms.iter().map(|(k, a)| (columns[*k], *a)).collect();
        let op = match row.sense {
            Sense::AtMost => microlp::ComparisonOp::Le,
            Sense::Equal => microlp::ComparisonOp::Eq,
        };
        model.add_constraint(&terms[..], op, row.rhs);
    }
    let mut options = microlp::SolveOptions::default();
    // microlp's gap leaves out what no column of its own moves
    let held = reduced.held_cost(program);
    let own_share = start.map_or(1.0, |x| {
        let cost = program.objective(x);
        (cost - held).abs() / cost.abs().max(1.0)
    });
    options.mip_gap = effort.gap / own_share.max(1e-3);
    options.node_limit = effort.nodes;
    options.time_limit = effort.time;
    options.warm_start = start.map(|x| reduced.free.iter().zip(&columns).map(|(i, c)| (*c, x[*i])).collect());
    let solution = model
        .solve_with(options)
        .map_err(|e| format!("microlp: {e}"))?
        .into_solution()
        .map_err(|_| "microlp: no feasible point within its bound of nodes or time".to_owned())?;
    let values: Vec<f64> = columns.iter().map(|c| solution.var_value_raw(*c)).collect();
    let gap = solution.gap().map(|gap| gap * solution.objective().abs() * scale);
    let mut answer = match program.integer.iter().any(|i| *i) {
        true => reduced.answer(program, &values, None, ("microlp", SEARCH_RESIDUAL_MAX)),
        false => vertex(&reduced, program, values),
    }?;
    answer.gap = gap.map_or(f64::INFINITY, |gap| gap / answer.objective.abs().max(1.0));
    Ok(answer)
}

/// A simplex' answer to an LP: as it stands, or brought onto the rows where rounding has carried it off.
fn vertex(reduced: &Reduced, program: &Program, values: Vec<f64>) -> Result<Answer, String> {
    let measured = |values: &[f64]| reduced.answer(program, values, None, ("microlp", RESIDUAL_MAX));
    measured(&values).or_else(|_| measured(&onto_rows(reduced, program, values)))
}

pub fn sum(terms: impl Iterator<Item = (Variable, f64)>) -> Expression {
    let mut expression = Expression::with_capacity(8);
    terms.for_each(|(v, k)| expression.add_mul(k, v));
    expression
}

pub fn constraint_of(row: &ReducedRow, columns: &[Variable]) -> Constraint {
    let left = sum(row.terms.iter().map(|(k, a)| (columns[*k], *a)));
    match row.sense {
        Sense::AtMost => constraint::leq(left, row.rhs),
        Sense::Equal => constraint::eq(left, row.rhs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::formulation::formulate;
    use crate::plan::tests::small_home;

    /// microlp was seen 1.8e-5 kW off the balance of a site with 21 cars.
    #[test]
    fn a_simplex_answer_that_has_drifted_off_its_rows_is_brought_back() {
        let p = small_home();
        let program = formulate(&p, p.elastic).program.relaxed();
        let right = with_simplex(&program).unwrap();
        let reduced = Reduced::of(&program).unwrap();
        let drifted = |by: f64| reduced.free.iter().map(|i| right.x[*i] + by).collect();
        let answer = vertex(&reduced, &program, drifted(2e-5)).unwrap();
        assert!(program.residual(&answer.x).0 <= RESIDUAL_MAX);
        let apart = (answer.objective - right.objective).abs();
        assert!(apart < 1e-3, "{apart}");
        let exact = vertex(&reduced, &program, drifted(0.0)).unwrap();
        assert_eq!(exact.x, right.x, "one that holds is not touched");
    }
}
