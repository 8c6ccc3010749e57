//! LP first; binaries only where the LP cheats; then the integers are fixed and the LP polished.
//!
//! Order: relaxation → directions fixed by its answer (accepted if that costs nothing) → branch and bound on the
//! binaries that are needed → polish with the interior-point method for duals and exact residuals.

use super::commit;
use super::formulation::{Model, Pair};
use super::program::Program;
use super::round;
use super::solver::{self, Answer, Effort};
use super::{SolveError, SolveOptions};
use crate::time::Stopwatch;

/// Flow below this counts as none, kW.
const FLOW: f64 = 1e-6;
/// Rounds of adding binaries at steps where an answer cheats.
const ROUNDS: usize = 12;

/// The best point found, and how far from the proven bound.
pub struct Found {
    pub answer: Answer,
    pub gap: f64,
    pub solver: String,
    /// The search ended because of a bound on effort.
    pub cut_short: bool,
    /// Whole numbers were fixed: duals hold only for them.
    pub whole: bool,
}

/// Runs the search; `Err` only when no solver found any point.
pub fn search(model: &Model<'_>, options: &SolveOptions, watch: &Stopwatch) -> Result<Found, SolveError> {
    let mut program = model.program.clone();
    let mut open: Vec<Pair> = Vec::new();
    for pair in &model.pairs {
        if pair.needed {
            constraint_pair_exclusive(&mut program, pair);
        } else {
            open.push(*pair);
        }
    }
    let lp = |p: &Program| match options.solver.as_str() {
        "microlp" => solver::with_simplex(p),
        "clarabel" => solver::with_clarabel(p),
        "interior" => solver::with_interior(p),
        "highs" => solver::with_highs(p),
        _ => solver::linear(p),
    };
    let relaxed = lp(&program.relaxed()).map_err(SolveError::Failed)?;
    let mut best: Option<Answer> = None;
    for _ in 0..ROUNDS {
        let (answer, bound, cut_short) = if program.has_integers() {
            branch(&program, model, &relaxed, options, watch, &lp, best.as_ref())?
        } else {
            (relaxed.clone(), relaxed.objective, false)
        };
        let (settled, cheats) = settle(&program, answer, &open, &lp);
        let gap = settled
            .as_ref()
            .map_or(f64::INFINITY, |a| relative_gap(a.objective, bound));
        if let Some(honest) = settled {
            keep_better(&mut best, honest);
        }
        if cheats.is_empty() || gap <= options.gap || (cut_short && best.is_some()) {
            return finish(best, bound, cut_short, &program);
        }
        for pair in &cheats {
            constraint_pair_exclusive(&mut program, pair);
        }
        open.retain(|p| !cheats.iter().any(|c| c.a == p.a));
    }
    finish(best, relaxed.objective, true, &program)
}

fn keep_better(best: &mut Option<Answer>, new: Answer) {
    if best.as_ref().is_none_or(|b| new.objective < b.objective) {
        *best = Some(new);
    }
}

fn finish(best: Option<Answer>, bound: f64, cut_short: bool, program: &Program) -> Result<Found, SolveError> {
    let answer = best.ok_or_else(|| SolveError::Failed("no round gave a point".into()))?;
    let whole = program.has_integers();
    let solver = match (whole, answer.solver) {
        (true, polished_by @ ("interior" | "clarabel")) => format!("microlp+{polished_by}"),
        (_, only) => only.to_owned(),
    };
    let gap = relative_gap(answer.objective, bound);
    Ok(Found {
        gap,
        answer,
        solver,
        cut_short,
        whole,
    })
}

/// `z = 1`: only `a` may flow; `z = 0`: only `b`.
fn constraint_pair_exclusive(program: &mut Program, pair: &Pair) {
    let z = program.binary();
    program.at_most("constraint_pair_exclusive", pair.a, pair.a_max * z);
    program.at_most("constraint_pair_exclusive", 1.0 * pair.b + pair.b_max * z, pair.b_max);
}

/// Branch and bound, seeded by rounding; its integers are then fixed and the LP solved again.
fn branch(
    program: &Program,
    model: &Model<'_>,
    relaxed: &Answer,
    options: &SolveOptions,
    watch: &Stopwatch,
    lp: &dyn Fn(&Program) -> Result<Answer, String>,
    incumbent: Option<&Answer>,
) -> Result<(Answer, f64, bool), SolveError> {
    let rounded = round::round(program, model, relaxed, lp);
    let good = |a: &Answer| relative_gap(a.objective, relaxed.objective) <= options.gap;
    // where the rounding is as good as exact, a bounded search would find nothing better in its bound
    let enough = options.nodes == Some(0) || options.nodes.is_some() && commit::applies(model.p);
    if let Some(start) = rounded.as_ref().filter(|a| good(a) || enough) {
        return Ok((start.clone(), relaxed.objective, !good(start)));
    }
    let time = options.deadline.map(|d| d.saturating_sub(watch.wall()));
    let effort = Effort {
        gap: options.gap,
        nodes: options.nodes,
        time,
    };
    let seed = rounded
        .as_ref()
        .or(incumbent)
        .filter(|a| a.x.len() == program.cost.len());
    let exact = |a: &Answer| program.residual(&a.x).0 <= solver::RESIDUAL_MAX;
    let found = solver::whole(&options.solver, program, effort, seed.map(|a| a.x.as_slice())).and_then(|found| {
        let polished = lp(&program.fixed_at(&found.x));
        let polished = polished.or_else(|why| if exact(&found) { Ok(found.clone()) } else { Err(why) })?;
        Ok((found, polished))
    });
    let (found, polished) = match found {
        Ok(both) => both,
        Err(why) => {
            let start = rounded.ok_or(SolveError::Failed(why))?;
            return Ok((start, relaxed.objective, true));
        }
    };
    let bound = found.objective - found.gap * found.objective.abs().max(1.0);
    let cut_short = found.gap > options.gap * 1.01 + 1e-12;
    let best = match rounded {
        Some(r) if r.objective < polished.objective => r,
        _ => polished,
    };
    Ok((best, bound.max(relaxed.objective), cut_short))
}

/// Gives each cheating pair the direction of its net flow and solves again; returns the honest answer and who cheated.
fn settle(
    program: &Program,
    answer: Answer,
    open: &[Pair],
    lp: &dyn Fn(&Program) -> Result<Answer, String>,
) -> (Option<Answer>, Vec<Pair>) {
    let mut cheats: Vec<Pair> = Vec::new();
    let mut held = program.fixed_at(&answer.x);
    let mut current = answer;
    for _ in 0..6 {
        let cheating = |p: &&Pair| current.x[p.a.0] > FLOW && current.x[p.b.0] > FLOW;
        let offenders: Vec<Pair> = open.iter().filter(cheating).copied().collect();
        if offenders.is_empty() {
            return (Some(current), cheats);
        }
        for pair in offenders {
            let keep_a = current.x[pair.a.0] * pair.a_weight >= current.x[pair.b.0];
            let zero = if keep_a { pair.b } else { pair.a };
            held.high[zero.0] = held.low[zero.0].max(0.0);
            cheats.push(pair);
        }
        match lp(&held) {
            Ok(next) => current = next,
            Err(_) => break,
        }
    }
    (None, cheats)
}

/// Distance of a cost to its bound, relative to the larger of cost and 1.
pub fn relative_gap(cost: f64, bound: f64) -> f64 {
    ((cost - bound) / cost.abs().max(1.0)).max(0.0)
}
