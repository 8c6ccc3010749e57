//! Clarabel alone, given the same matrix without anything of ours around it: the baseline of `bench plan`.

use super::formulation;
use super::interior::Lp;
use super::reduce::Reduced;
use crate::model::Problem;
use crate::time::Stopwatch;
use clarabel::algebra::CscMatrix;
use clarabel::solver::SupportedConeT::{NonnegativeConeT, ZeroConeT};
use clarabel::solver::{DefaultSettingsBuilder, DefaultSolver, IPSolver, SolverStatus};

/// CPU milliseconds that Clarabel takes for the problem's linear program, the matrix ready made.
pub fn raw_clarabel_ms(problem: &Problem) -> Result<f64, String> {
    let model = formulation::formulate(problem, problem.elastic);
    let program = model.program.relaxed();
    let reduced = Reduced::of(&program)?;
    let lp = reduced.columns(&program, reduced.price_scale(&program));
    let (matrix, rhs, equal) = stacked(&lp);
    let failed = |why: String| format!("raw clarabel: {why}");
    let settings = DefaultSettingsBuilder::default()
        .verbose(false)
        .tol_gap_abs(1e-9)
        .tol_gap_rel(1e-9)
        .tol_feas(1e-9)
        .build()
        .map_err(|e| failed(e.to_string()))?;
    let n = lp.cost.len();
    let cones = [ZeroConeT(equal), NonnegativeConeT(rhs.len() - equal)];
    let watch = Stopwatch::start();
    let none = CscMatrix::zeros((n, n));
    let mut solver =
        DefaultSolver::new(&none, &lp.cost, &matrix, &rhs, &cones, settings).map_err(|e| failed(e.to_string()))?;
    solver.solve();
    let ms = watch.cpu_ms();
    match solver.solution.status {
        SolverStatus::Solved => Ok(ms),
        status => Err(failed(format!("{status:?}"))),
    }
}

/// Rows in Clarabel's order: equalities, inequalities, lower bounds, upper bounds; with their right-hand sides and the
/// number of equalities.
fn stacked(lp: &Lp) -> (CscMatrix<f64>, Vec<f64>, usize) {
    let (n, m) = (lp.cost.len(), lp.rhs.len());
    let mut order: Vec<usize> = (0..m).collect();
    order.sort_by_key(|r| lp.at_most[*r]);
    let equal = lp.at_most.iter().filter(|at_most| !**at_most).count();
    let mut place = vec![0; m];
    order.iter().enumerate().for_each(|(new, r)| place[*r] = new);
    let mut rhs: Vec<f64> = order.iter().map(|r| lp.rhs[*r]).collect();
    rhs.extend(std::iter::repeat_n(0.0, n));
    rhs.extend(&lp.width);
    let (mut start, mut row, mut value) = (vec![0], Vec::new(), Vec::new());
    for j in 0..n {
        let range = lp.start[j]..lp.start[j + 1];
        let mut entries: Vec<(usize, f64)> = range.map(|k| (place[lp.row[k] as usize], lp.value[k])).collect();
        entries.sort_by_key(|(r, _)| *r);
        entries.extend([(m + j, -1.0), (m + n + j, 1.0)]);
        row.extend(entries.iter().map(|(r, _)| *r));
        value.extend(entries.iter().map(|(_, v)| *v));
        start.push(row.len());
    }
    (CscMatrix::new(m + 2 * n, n, start, row, value), rhs, equal)
}
