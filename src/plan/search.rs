//! LP first; binaries only where the LP cheats; then the integers are fixed and the LP polished.
//!
//! Order: relaxation, with the rows that whole numbers keep and it breaks → directions and minima fixed by its answer
//! (accepted if that costs nothing) → branch and bound on the binaries that are needed → polish with the interior-point
//! method for duals and exact residuals.

use super::commit;
use super::cuts::{self, Gated};
use super::formulation::{Minimum, Model, Pair};
use super::improve::improve;
use super::program::{Program, Sense, Var};
use super::round;
use super::solver::{self, Answer, Effort};
use super::{SolveError, SolveOptions};
use crate::time::Stopwatch;
use std::rc::Rc;

/// Flow below this counts as none, kW.
const FLOW: f64 = 1e-6;
/// Rounds of adding binaries at steps where an answer cheats.
const ROUNDS: usize = 12;
/// Rounds of adding rows to the relaxation.
const CUTS: usize = 3;

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

type Lp<'a> = &'a dyn Fn(&Program) -> Result<Answer, String>;

/// What is searched: the program with the binaries that are needed so far, and what is still left to the LP's honesty.
struct Sought<'a, 'p> {
    model: &'a Model<'p>,
    program: Program,
    /// The same with rows that only whole numbers keep; never polished with, since it would share the duals with them.
    cut: Program,
    pairs: Vec<Pair>,
    minima: Vec<Minimum>,
    relaxed: Answer,
}

/// Runs the search; `Err` only when no solver found any point.
pub fn search(model: &Model<'_>, options: &SolveOptions, watch: &Stopwatch) -> Result<Found, SolveError> {
    let kept = options.kept.as_ref();
    let lp = |p: &Program| match options.solver.as_str() {
        "microlp" => solver::with_simplex(p),
        "clarabel" => solver::with_clarabel(p),
        "interior" => solver::with_interior(p),
        "highs" => solver::with_highs(p, kept),
        _ => solver::linear(p, kept),
    };
    let mut sought = Sought::of(model, options, &lp).map_err(SolveError::Failed)?;
    let mut best: Option<Answer> = None;
    for _ in 0..ROUNDS {
        let (answer, bound, cut_short) = if sought.program.has_integers() {
            branch(&sought, options, watch, &lp, best.as_ref())?
        } else {
            (sought.relaxed.clone(), sought.relaxed.objective, false)
        };
        let (settled, cheats) = sought.settle(answer, &lp);
        let gap = settled
            .as_ref()
            .map_or(f64::INFINITY, |a| relative_gap(a.objective, bound));
        if let Some(honest) = settled {
            keep_better(&mut best, honest);
        }
        if cheats.none() || gap <= options.gap || (cut_short && best.is_some()) {
            return finish(best, bound, cut_short, &sought.program);
        }
        sought.hold_apart(&cheats);
    }
    finish(best, sought.relaxed.objective, true, &sought.program)
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
pub fn constraint_pair_exclusive(program: &mut Program, pair: &Pair) -> Var {
    let z = program.binary();
    program.at_most("constraint_pair_exclusive", pair.a, pair.a_max * z);
    program.at_most("constraint_pair_exclusive", 1.0 * pair.b + pair.b_max * z, pair.b_max);
    z
}

/// What an answer does that it may not.
#[derive(Default)]
struct Cheats {
    pairs: Vec<Pair>,
    minima: Vec<Minimum>,
}

impl Cheats {
    fn none(&self) -> bool {
        self.pairs.is_empty() && self.minima.is_empty()
    }
}

impl<'a, 'p> Sought<'a, 'p> {
    fn of(model: &'a Model<'p>, options: &SolveOptions, lp: Lp<'_>) -> Result<Self, String> {
        let mut program = model.program.clone();
        let mut gated: Vec<Gated> = cuts::of_gensets(model).collect();
        let (needed, pairs): (Vec<Pair>, Vec<Pair>) = model.pairs.iter().partition(|p| p.needed);
        for pair in &needed {
            let z = constraint_pair_exclusive(&mut program, pair);
            gated.extend(cuts::of_pair(pair, z));
        }
        // a search to the end would only find them one by one
        let free = |m: &&Minimum| program.high[m.z.0] - program.low[m.z.0] > 0.5;
        let left_out = options.nodes.is_some();
        let minima: Vec<Minimum> = model.minima.iter().filter(|m| left_out && free(m)).copied().collect();
        minima.iter().for_each(|m| leave_out(&mut program, m));
        let mut cut = program.clone();
        let mut relaxed = lp(&program.relaxed())?;
        let rounding = options.nodes == Some(0) || options.nodes.is_some() && commit::applies(model.p);
        for _ in 0..if rounding { 0 } else { CUTS } {
            let rows = cuts::broken(&cut, &gated, &relaxed.x);
            if rows.is_empty() {
                break;
            }
            let before = cut.rows.len();
            Rc::make_mut(&mut cut.rows).extend(rows);
            match lp(&cut.relaxed()) {
                Ok(tighter) => relaxed = tighter,
                // they help the search; it goes without them where they are too much for the solver
                Err(_) => {
                    Rc::make_mut(&mut cut.rows).truncate(before);
                    break;
                }
            }
        }
        Ok(Self {
            model,
            program,
            cut,
            pairs,
            minima,
            relaxed,
        })
    }

    /// Gives what cheats binaries of its own.
    fn hold_apart(&mut self, cheats: &Cheats) {
        for program in [&mut self.program, &mut self.cut] {
            for pair in &cheats.pairs {
                constraint_pair_exclusive(program, pair);
            }
            for minimum in &cheats.minima {
                put_back(program, &self.model.program, minimum);
            }
        }
        self.pairs.retain(|p| !cheats.pairs.iter().any(|c| c.a == p.a));
        self.minima.retain(|m| !cheats.minima.iter().any(|c| c.v == m.v));
    }

    /// Gives each cheating pair the direction of its net flow, lifts each flow below its minimum or drops it, and solves
    /// again; returns the honest answer and who cheated.
    fn settle(&self, answer: Answer, lp: Lp<'_>) -> (Option<Answer>, Cheats) {
        let mut cheats = Cheats::default();
        let mut held = self.program.fixed_at(&answer.x);
        let mut current = answer;
        for _ in 0..6 {
            let pairs = self
                .pairs
                .iter()
                .filter(|p| current.x[p.a.0] > FLOW && current.x[p.b.0] > FLOW);
            let pairs: Vec<Pair> = pairs.copied().collect();
            let too_little = |m: &&Minimum| current.x[m.v.0] > FLOW && current.x[m.v.0] < m.least - FLOW;
            let minima: Vec<Minimum> = self.minima.iter().filter(too_little).copied().collect();
            if pairs.is_empty() && minima.is_empty() {
                for m in &self.minima {
                    current.x[m.z.0] = f64::from(u8::from(current.x[m.v.0] > FLOW));
                }
                return (Some(current), cheats);
            }
            for pair in pairs {
                let keep_a = current.x[pair.a.0] * pair.a_weight >= current.x[pair.b.0];
                let zero = if keep_a { pair.b } else { pair.a };
                held.high[zero.0] = held.low[zero.0].max(0.0);
                cheats.pairs.push(pair);
            }
            if !minima.is_empty() {
                // all at once: what one gives up another one near it would take
                for m in &self.minima {
                    let (low, high) = (self.program.low[m.v.0], self.program.high[m.v.0]);
                    (held.low[m.v.0], held.high[m.v.0]) = match current.x[m.v.0] >= 0.5 * m.least {
                        true => (low.max(m.least), high),
                        false => (low, low),
                    };
                }
                cheats.minima.extend(minima);
            }
            match lp(&held) {
                Ok(next) => current = next,
                Err(_) => break,
            }
        }
        (None, cheats)
    }
}

/// Takes a switch that costs nothing, and its rows, out of the program: the rows keep their places.
fn leave_out(program: &mut Program, minimum: &Minimum) {
    (program.high[minimum.z.0], program.integer[minimum.z.0]) = (0.0, false);
    let rows = Rc::make_mut(&mut program.rows);
    for row in minimum.rows {
        let row = &mut rows[row.0];
        row.terms.clear();
        (row.sense, row.rhs) = (Sense::AtMost, 0.0);
    }
}

fn put_back(program: &mut Program, whole: &Program, minimum: &Minimum) {
    let z = minimum.z.0;
    (program.low[z], program.high[z], program.integer[z]) = (whole.low[z], whole.high[z], whole.integer[z]);
    for row in minimum.rows.map(|r| r.0) {
        Rc::make_mut(&mut program.rows)[row] = whole.rows[row].clone();
    }
}

/// Branch and bound, seeded by rounding; its integers are then fixed and the LP solved again.
fn branch(
    sought: &Sought<'_, '_>,
    options: &SolveOptions,
    watch: &Stopwatch,
    lp: Lp<'_>,
    incumbent: Option<&Answer>,
) -> Result<(Answer, f64, bool), SolveError> {
    let Sought {
        program,
        relaxed,
        model,
        ..
    } = sought;
    let rounded = round::round(program, model, relaxed, lp);
    let good = |a: &Answer| relative_gap(a.objective, relaxed.objective) <= options.gap;
    // where the rounding is as good as exact, a bounded search would find nothing better in its bound
    let enough = options.nodes == Some(0) || options.nodes.is_some() && commit::applies(model.p);
    if let Some(start) = rounded.as_ref().filter(|a| good(a) || enough) {
        return Ok((start.clone(), relaxed.objective, !good(start)));
    }
    let quick = |p: &Program| match options.solver.as_str() {
        "auto" => solver::with_interior(p),
        _ => lp(p),
    };
    let rounded = rounded.map(|first| improve(program, model, relaxed, first, &quick));
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
    let found = solver::whole(&options.solver, &sought.cut, effort, seed.map(|a| a.x.as_slice())).and_then(|found| {
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

/// Distance of a cost to its bound, relative to the larger of cost and 1.
pub fn relative_gap(cost: f64, bound: f64) -> f64 {
    ((cost - bound) / cost.abs().max(1.0)).max(0.0)
}
