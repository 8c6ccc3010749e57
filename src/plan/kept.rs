//! A HiGHS instance that is kept from one plan to the next, where HiGHS is compiled in: the optimum of the last plan,
//! moved by the steps that are over, is where the next one starts. The caller owns it; without it every program is solved
//! by a new instance.
//!
//! HiGHS has been seen to call a point optimal after such a start that was not. A hot answer is therefore taken only if
//! its residual and the gap of its own prices are small; else everything is forgotten and the program solved cold. What a
//! plan costs does not depend on what was kept.

use super::Starts;
use super::program::{Mark, Program};
use super::reduce::Reduced;
use super::solver::{Answer, RESIDUAL_MAX, certified};
use highs_kept::{Basis, Fault, Instance, Lp, Optimum, Place};
use std::cell::RefCell;
use std::rc::Rc;

/// Largest row violation of an answer from a hot start; a cold one is measured as every other solver's.
const HOT_RESIDUAL_MAX: f64 = 1e-7;

/// Most simplex iterations a column and row: an end for what cycles.
const ITERATIONS: i32 = 20;
/// The same from a hot start, which is near its optimum or of no use.
const HOT_ITERATIONS: i32 = 1;

/// Handle of what is kept; clones share it. It stays on its thread.
#[derive(Debug, Clone, Default)]
pub struct Kept(Rc<RefCell<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    instance: Option<Instance>,
    base: Option<Vertex>,
    /// Steps that have passed since `base`.
    passed: u32,
    /// `base` is of this plan, not of the one before.
    current: bool,
    starts: Starts,
    /// Makes hot answers wrong.
    #[cfg(test)]
    spoil: Option<fn(&mut Optimum)>,
}

/// Where everything rested at an optimum, by what it is of, in order.
#[derive(Debug)]
struct Vertex {
    columns: Vec<(Mark, Place)>,
    rows: Vec<(Mark, Place)>,
}

/// Two handles are the same if they share what is kept.
impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Kept {
    /// The next plan begins, `steps` of the last plan's steps later.
    pub fn next(&self, steps: usize) {
        let mut memory = self.0.borrow_mut();
        memory.passed += steps as u32;
        memory.current = false;
    }

    pub fn starts(&self) -> Starts {
        self.0.borrow().starts
    }
}

/// A vertex with duals: hot from what is kept, cold where nothing is or where the hot answer does not hold.
pub fn linear(program: &Program, kept: Option<&Kept>) -> Result<Answer, String> {
    let reduced = Reduced::of(program)?;
    if reduced.free.is_empty() {
        return reduced.answer(program, &[], Some(vec![]), ("highs", RESIDUAL_MAX));
    }
    let fresh = Kept::default();
    let mut memory = kept.unwrap_or(&fresh).0.borrow_mut();
    if let Some(start) = memory.base.as_ref().map(|b| b.start(program, &reduced, memory.passed)) {
        if let Ok((answer, basis)) = memory.solve(program, &reduced, Some(&start)) {
            memory.starts.hot += 1;
            memory.remember(program, &reduced, &basis);
            return Ok(answer);
        }
        memory.starts.refused += 1;
        memory.forget();
    }
    let (answer, basis) = memory.solve(program, &reduced, None)?;
    memory.starts.cold += 1;
    memory.remember(program, &reduced, &basis);
    Ok(answer)
}

impl Memory {
    fn forget(&mut self) {
        self.instance = None;
        self.base = None;
    }

    /// The first program of a plan is what the others of it (alternatives, whole numbers held) and the next plan start from.
    fn remember(&mut self, program: &Program, reduced: &Reduced, basis: &Basis) {
        if !self.current || self.base.is_none() {
            self.base = Some(Vertex::of(program, reduced, basis));
            self.passed = 0;
            self.current = true;
        }
    }

    fn solve(
        &mut self,
        program: &Program,
        reduced: &Reduced,
        start: Option<&Basis>,
    ) -> Result<(Answer, Basis), String> {
        let scale = reduced.price_scale(program);
        let optimum = self
            .run(program, reduced, scale, start)
            .map_err(|e| format!("highs: {e}"))?;
        let duals = optimum.duals.iter().map(|d| d * scale).collect();
        let residual = if start.is_some() {
            HOT_RESIDUAL_MAX
        } else {
            RESIDUAL_MAX
        };
        let answer = certified(reduced, program, &optimum.x, duals, ("highs", residual))?;
        Ok((answer, optimum.basis))
    }

    fn run(
        &mut self,
        program: &Program,
        reduced: &Reduced,
        scale: f64,
        start: Option<&Basis>,
    ) -> Result<Optimum, Fault> {
        let lp = reduced.columns(program, scale);
        let nonzeros = |numbers: &[u32]| numbers.iter().map(|n| *n as i32).collect::<Vec<_>>();
        let row_low: Vec<f64> = lp
            .rhs
            .iter()
            .zip(&lp.at_most)
            .map(|(rhs, at_most)| if *at_most { f64::NEG_INFINITY } else { *rhs })
            .collect();
        let instance = match &mut self.instance {
            Some(instance) => instance,
            none => none.insert(Instance::new()?),
        };
        let size = (lp.cost.len() + lp.rhs.len()) as i32;
        let iterations = size * if start.is_some() { HOT_ITERATIONS } else { ITERATIONS };
        let mut optimum = instance.solve(
            Lp {
                cost: &lp.cost,
                low: &vec![0.0; lp.cost.len()],
                high: &lp.width,
                row_low: &row_low,
                row_high: &lp.rhs,
                start: &lp.start.iter().map(|n| *n as i32).collect::<Vec<_>>(),
                row: &nonzeros(&lp.row),
                value: &lp.value,
            },
            start,
            iterations,
        )?;
        #[cfg(test)]
        if let (Some(_), Some(spoil)) = (start, self.spoil) {
            spoil(&mut optimum);
        }
        for (x, i) in optimum.x.iter_mut().zip(&reduced.free) {
            *x += reduced.low[*i];
        }
        Ok(optimum)
    }
}

impl Vertex {
    fn of(program: &Program, reduced: &Reduced, basis: &Basis) -> Self {
        let mut columns: Vec<_> = program.marks.iter().map(|m| (*m, Place::Nonbasic)).collect();
        for (i, place) in reduced.free.iter().zip(&basis.columns) {
            columns[*i].1 = *place;
        }
        let mut rows: Vec<_> = program.rows.iter().map(|r| (r.mark, Place::Basic)).collect();
        for (row, place) in reduced.rows.iter().zip(&basis.rows) {
            rows[row.origin].1 = *place;
        }
        columns.sort_by_key(|(mark, _)| *mark);
        rows.sort_by_key(|(mark, _)| *mark);
        Self { columns, rows }
    }

    /// Where everything may rest in a program `passed` steps later; what is new there rests at a bound, its row is free.
    fn start(&self, program: &Program, reduced: &Reduced, passed: u32) -> Basis {
        let columns = moved(&self.columns, program.marks.iter().copied(), passed, Place::Nonbasic);
        let rows = moved(&self.rows, program.rows.iter().map(|r| r.mark), passed, Place::Basic);
        Basis {
            columns: reduced.free.iter().map(|i| columns[*i]).collect(),
            rows: reduced.rows.iter().map(|r| rows[r.origin]).collect(),
        }
    }
}

/// The place of each mark: that of the same thing `passed` steps later in `old`; at the end of the horizon, where there
/// was no such step, that of the same step. Things with the same mark are told apart by their order.
fn moved(old: &[(Mark, Place)], marks: impl ExactSizeIterator<Item = Mark>, passed: u32, unknown: Place) -> Vec<Place> {
    let mut places = vec![unknown; marks.len()];
    let mut order: Vec<(Mark, usize)> = marks.enumerate().map(|(i, mark)| (mark, i)).collect();
    // stable, since what comes in runs is sorted quickly so
    order.sort_by_key(|(mark, _)| *mark);
    let (mut later, mut same) = (old, old);
    for group in order.chunk_by(|a, b| a.0 == b.0) {
        let mark = group[0].0;
        let mut known = of_mark(&mut later, mark.later(passed));
        if known.is_empty() {
            known = of_mark(&mut same, mark);
        }
        for ((_, i), (_, place)) in group.iter().zip(known) {
            places[*i] = *place;
        }
    }
    places
}

/// Those of a mark; `sorted` is left where they begin, since marks are asked for in order.
fn of_mark<'a>(sorted: &mut &'a [(Mark, Place)], mark: Mark) -> &'a [(Mark, Place)] {
    let before = sorted.iter().take_while(|(m, _)| *m < mark).count();
    *sorted = &sorted[before..];
    let count = sorted.iter().take_while(|(m, _)| *m == mark).count();
    &sorted[..count]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ControllerState;
    use crate::plan::formulation::{Model, formulate};
    use crate::plan::site_tests::{forecast_at, now, plant, snapshot};
    use crate::plan::tests::small_home;
    use crate::site::builtin_names;
    use chrono::TimeDelta;

    fn relaxed(model: &Model<'_>) -> Program {
        model.program.relaxed()
    }

    #[test]
    fn over_a_rolling_day_a_kept_instance_costs_what_a_new_one_does() {
        for site in builtin_names() {
            let plant = plant(&site);
            let state = ControllerState::fresh(&plant, now());
            let kept = Kept::default();
            let (mut soc, mut start, mut worst) = (0.5, now(), 0.0_f64);
            for plan in 0..32 {
                let forecast = forecast_at(&plant, true, start);
                let placed = crate::plan::problem(&plant, &snapshot(&plant, Some(soc)), &forecast, &state);
                let model = formulate(&placed.problem, placed.problem.elastic);
                let program = relaxed(&model);
                let cold = linear(&program, None).unwrap();
                let hot = linear(&program, Some(&kept)).unwrap();
                let apart = (hot.objective - cold.objective).abs() / cold.objective.abs().max(1.0);
                worst = worst.max(apart);
                assert!(
                    apart <= 1e-6,
                    "{site}, plan {plan}: {} and {}",
                    hot.objective,
                    cold.objective
                );
                let passed = 1 + plan % 5;
                if let (Some(b), Some(v)) = (placed.problem.batteries.first(), model.batteries.first()) {
                    soc = hot.x[v.energy[passed - 1].0] / b.soc_max_kwh;
                }
                start += TimeDelta::minutes(15) * passed as i32;
                kept.next(passed);
            }
            let starts = kept.starts();
            assert_eq!(
                (starts.hot + starts.refused, starts.cold),
                (31, 1 + starts.refused),
                "{site}"
            );
            assert!(starts.refused <= 3, "{site}: {starts:?}");
            println!("{site}: {starts:?}, at most {worst:.0e} apart");
        }
    }

    #[test]
    fn a_hot_answer_that_does_not_hold_is_solved_cold() {
        let p = small_home();
        let model = formulate(&p, p.elastic);
        let program = relaxed(&model);
        let right = linear(&program, None).unwrap().objective;
        let wrong: [fn(&mut Optimum); 3] = [
            // just beyond what a hot residual may be, and within what a cold one may
            |o| o.x.iter_mut().for_each(|x| *x += 4e-8),
            |o| o.x.fill(0.0),
            |o| o.duals.iter_mut().for_each(|y| *y += 0.1),
        ];
        for (n, spoil) in wrong.into_iter().enumerate() {
            let kept = Kept::default();
            linear(&program, Some(&kept)).unwrap();
            kept.0.borrow_mut().spoil = Some(spoil);
            let answer = linear(&program, Some(&kept)).unwrap();
            assert!((answer.objective - right).abs() < 1e-9, "{n}: {}", answer.objective);
            let starts = kept.starts();
            assert_eq!((starts.hot, starts.cold, starts.refused), (0, 2, 1), "{n}");
            // what came of it is a start again
            kept.0.borrow_mut().spoil = None;
            linear(&program, Some(&kept)).unwrap();
            assert_eq!(kept.starts().hot, 1, "{n}");
        }
    }

    #[test]
    fn the_places_move_with_the_steps_that_are_over() {
        let mut then = Program::default();
        then.owned_by("a");
        let places = [Place::Lower, Place::Basic, Place::Upper, Place::Zero];
        for t in 0..4 {
            then.at(t).var(0.0, 1.0);
        }
        let old: Vec<_> = then.marks.iter().copied().zip(places).collect();
        let mut now = Program::default();
        now.owned_by("b");
        now.var(0.0, 1.0);
        now.owned_by("a");
        for t in 0..4 {
            now.at(t).var(0.0, 1.0);
        }
        now.at(1).var(0.0, 1.0);
        let start = moved(&old, now.marks.iter().copied(), 1, Place::Nonbasic);
        let end = [Place::Basic, Place::Upper, Place::Zero, Place::Zero];
        assert_eq!(start[0], Place::Nonbasic, "nobody knows b");
        assert_eq!(start[1..5], end, "the last step is as it was");
        assert_eq!(start[5], Place::Nonbasic, "a second column of a step that had one");
    }
}
