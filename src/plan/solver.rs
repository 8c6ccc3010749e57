//! The solvers behind one door: a [`Program`] in, a point that was measured here out. No status is believed.

use super::program::{Program, Row, Sense, Var};
use good_lp::solvers::clarabel::clarabel;
use good_lp::{
    Constraint, DualValues, Expression, Solution, SolutionWithDual, SolverModel, Variable, constraint, variable,
    variables,
};
use std::time::Duration;

/// Largest row violation (kW, kWh) of an answer that is taken.
pub const RESIDUAL_MAX: f64 = 1e-6;

/// The same for the search for whole numbers: only those are taken from its answer.
const SEARCH_RESIDUAL_MAX: f64 = 1e-3;

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

/// Solves an LP with Clarabel, and with microlp where Clarabel's answer does not hold.
pub fn linear(program: &Program) -> Result<Answer, String> {
    with_clarabel(program).or_else(|first| with_simplex(program).map_err(|second| format!("{first}; {second}")))
}

/// Clarabel: interior answer and duals.
pub fn with_clarabel(program: &Program) -> Result<Answer, String> {
    let reduced = Reduced::of(program)?;
    if reduced.free.is_empty() {
        return reduced.answer(
            program,
            &[],
            Some(vec![0.0; reduced.rows.len()]),
            ("clarabel", RESIDUAL_MAX),
        );
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
        .map(|row| model.add_constraint(reduced.constraint(row, &columns)))
        .collect();
    let mut solution = model.solve().map_err(|e| format!("clarabel: {e}"))?;
    let values: Vec<f64> = columns.iter().map(|c| solution.value(*c)).collect();
    let dual = solution.compute_dual();
    let duals = references.into_iter().map(|r| dual.dual(r) * scale).collect();
    reduced.answer(program, &values, Some(duals), ("clarabel", RESIDUAL_MAX))
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
    options.mip_gap = effort.gap;
    options.node_limit = effort.nodes;
    options.time_limit = effort.time;
    options.warm_start = start.map(|x| reduced.free.iter().zip(&columns).map(|(i, c)| (*c, x[*i])).collect());
    let solution = model
        .solve_with(options)
        .map_err(|e| format!("microlp: {e}"))?
        .into_solution()
        .map_err(|_| "microlp: no feasible point within its bound of nodes or time".to_owned())?;
    let values: Vec<f64> = columns.iter().map(|c| solution.var_value_raw(*c)).collect();
    let gap = solution.gap();
    let whole = program.integer.iter().any(|i| *i);
    let tolerance = if whole { SEARCH_RESIDUAL_MAX } else { RESIDUAL_MAX };
    let mut answer = reduced.answer(program, &values, None, ("microlp", tolerance))?;
    answer.gap = gap.unwrap_or(f64::INFINITY);
    Ok(answer)
}

/// The program without columns that cannot move and rows that only bound one column: interior-point methods need room
/// between bounds, and branch and bound fixes many columns.
struct Reduced {
    low: Vec<f64>,
    high: Vec<f64>,
    /// Original index of each column that is left.
    free: Vec<usize>,
    rows: Vec<ReducedRow>,
}

struct ReducedRow {
    /// Row of the original program.
    origin: usize,
    /// (position in `free`, coefficient)
    terms: Vec<(usize, f64)>,
    sense: Sense,
    rhs: f64,
}

const FIXED: f64 = 1e-11;

impl Reduced {
    fn of(program: &Program) -> Result<Self, String> {
        let (mut low, mut high) = (program.low.clone(), program.high.clone());
        let mut used = vec![true; program.rows.len()];
        loop {
            let mut moved = false;
            for (r, row) in program
                .rows
                .iter()
                .enumerate()
                .filter(|(_, row)| row.sense == Sense::AtMost)
            {
                if used[r] && tighten(row, &mut low, &mut high) {
                    used[r] = false;
                    moved = true;
                }
            }
            moved |= round_integers(program, &mut low, &mut high);
            if !moved {
                break;
            }
        }
        Self::assemble(program, low, high, &used)
    }

    fn assemble(program: &Program, low: Vec<f64>, high: Vec<f64>, used: &[bool]) -> Result<Self, String> {
        let fixed = |i: usize| high[i] - low[i] <= FIXED;
        if let Some(i) = (0..low.len()).find(|i| low[*i] > high[*i] + 1e-9) {
            return Err(format!("infeasible: bounds of column {i} cross"));
        }
        let free: Vec<usize> = (0..low.len()).filter(|i| !fixed(*i)).collect();
        let mut position = vec![usize::MAX; low.len()];
        free.iter().enumerate().for_each(|(k, i)| position[*i] = k);
        let mut rows = Vec::with_capacity(program.rows.len());
        for (r, row) in program.rows.iter().enumerate().filter(|(r, _)| used[*r]) {
            let held: f64 = row
                .terms
                .iter()
                .filter(|(v, _)| fixed(v.0))
                .map(|(v, k)| k * low[v.0])
                .sum();
            let terms: Vec<_> = row
                .terms
                .iter()
                .filter(|(v, _)| !fixed(v.0))
                .map(|(v, k)| (position[v.0], *k))
                .collect();
            let rhs = row.rhs - held;
            if terms.is_empty() {
                empty_row_holds(row, rhs)?;
                continue;
            }
            rows.push(ReducedRow {
                origin: r,
                terms,
                sense: row.sense,
                rhs,
            });
        }
        Ok(Self { low, high, free, rows })
    }

    /// Largest price, so that won and euro meet the same tolerances.
    fn price_scale(&self, program: &Program) -> f64 {
        let mut costs: Vec<f64> = self
            .free
            .iter()
            .map(|i| program.cost[*i].abs())
            .filter(|c| *c > 0.0)
            .collect();
        costs.sort_by(f64::total_cmp);
        costs
            .get(costs.len() / 2)
            .copied()
            .map_or(1.0, |median| (4.0 * median).clamp(1e-6, 1e9))
    }

    fn constraint(&self, row: &ReducedRow, columns: &[Variable]) -> Constraint {
        let left = sum(row.terms.iter().map(|(k, a)| (columns[*k], *a)));
        match row.sense {
            Sense::AtMost => constraint::leq(left, row.rhs),
            Sense::Equal => constraint::eq(left, row.rhs),
        }
    }

    /// Puts the point together again, clips it to its bounds and measures it.
    fn answer(
        &self,
        program: &Program,
        values: &[f64],
        duals: Option<Vec<f64>>,
        (solver, tolerance): (&'static str, f64),
    ) -> Result<Answer, String> {
        let mut x: Vec<f64> = self.low.iter().zip(&self.high).map(|(l, h)| 0.5 * (l + h)).collect();
        self.free.iter().zip(values).for_each(|(i, v)| x[*i] = *v);
        program.clip(&mut x);
        let (residual, family) = program.residual(&x);
        // a residual that is not a number was made infinite
        if residual > tolerance || x.iter().any(|v| !v.is_finite()) {
            return Err(format!("{solver}: its answer breaks {family} by {residual:.1e}"));
        }
        let duals = duals.map(|duals| {
            let mut all = vec![0.0; program.rows.len()];
            self.rows
                .iter()
                .zip(duals)
                .for_each(|(row, dual)| all[row.origin] = dual);
            all
        });
        let objective = program.objective(&x);
        Ok(Answer {
            x,
            duals,
            objective,
            gap: 0.0,
            solver,
        })
    }
}

/// Turns `k·v ≤ rhs` into a bound of `v`, if only one column of the row can move.
fn tighten(row: &Row, low: &mut [f64], high: &mut [f64]) -> bool {
    let mut single: Option<(Var, f64)> = None;
    let mut rhs = row.rhs;
    for (v, k) in &row.terms {
        if high[v.0] - low[v.0] <= FIXED {
            rhs -= k * low[v.0];
        } else if single.replace((*v, *k)).is_some() {
            return false;
        }
    }
    let Some((Var(i), k)) = single else { return false };
    if k > 0.0 {
        high[i] = high[i].min(rhs / k);
    } else {
        low[i] = low[i].max(rhs / k);
    }
    // A bound that crosses by rounding is a touching one.
    if low[i] > high[i] && low[i] - high[i] <= 1e-9 {
        low[i] = high[i];
    }
    true
}

/// Moves the bounds of integer columns inwards to integers.
fn round_integers(program: &Program, low: &mut [f64], high: &mut [f64]) -> bool {
    let mut moved = false;
    for i in (0..low.len()).filter(|i| program.integer[*i]) {
        let (l, h) = ((low[i] - 1e-7).ceil(), (high[i] + 1e-7).floor());
        moved |= l > low[i] + 1e-6 || h < high[i] - 1e-6;
        (low[i], high[i]) = (l, h);
    }
    moved
}

fn empty_row_holds(row: &Row, rhs: f64) -> Result<(), String> {
    let holds = match row.sense {
        Sense::AtMost => rhs >= -RESIDUAL_MAX,
        Sense::Equal => rhs.abs() <= RESIDUAL_MAX,
    };
    holds
        .then_some(())
        .ok_or_else(|| format!("infeasible: {} misses by {:.1e}", row.family, rhs.abs()))
}

fn sum(terms: impl Iterator<Item = (Variable, f64)>) -> Expression {
    let mut expression = Expression::with_capacity(8);
    terms.for_each(|(v, k)| expression.add_mul(k, v));
    expression
}
