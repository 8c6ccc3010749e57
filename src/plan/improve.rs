//! Better points with whole numbers from a first one, each for one linear program: directions by how far the relaxation leans
//! to them, generators by how much it runs them.
//!
//! Where selling pays more than buying costs, the site buys in the cheapest steps and sells in the others: one threshold over
//! the steps in order of the relaxation's switches says it nearly all; neighbours that change places, and a few switches near the
//! threshold, say the rest.

use super::formulation::{Model, Switched};
use super::program::{Program, Var};
use super::solver::Answer;

/// Places of the threshold that are tried over all switches, before it is looked for between two of them.
const PLACES: usize = 6;
/// Switches nearest to the threshold that are turned over one by one, after neighbours in time have changed places.
const TURNED: usize = 12;
/// Points tried in that.
const TRIES: usize = 60;
/// Shares of a running generator from which on it runs.
const SHARES: [f64; 3] = [0.6, 0.4, 0.2];

type Lp<'a> = &'a dyn Fn(&Program) -> Result<Answer, String>;

/// The best of what is tried; `first` where nothing is better.
pub fn improve(program: &Program, model: &Model<'_>, relaxed: &Answer, first: Answer, lp: Lp<'_>) -> Answer {
    let mut trial = Trial {
        program,
        lp,
        best: first,
    };
    for path in gensets(model, relaxed) {
        let mut x = trial.best.x.clone();
        path.into_iter().for_each(|(z, on)| x[z.0] = on);
        trial.point(&x);
    }
    directions(&mut trial, model, relaxed);
    trial.best
}

struct Trial<'a> {
    program: &'a Program,
    lp: Lp<'a>,
    best: Answer,
}

impl Trial<'_> {
    /// Cost with the whole numbers of `x`.
    fn point(&mut self, x: &[f64]) -> f64 {
        let Ok(answer) = (self.lp)(&self.program.fixed_at(x)) else {
            return f64::INFINITY;
        };
        let cost = answer.objective;
        if cost < self.best.objective {
            self.best = answer;
        }
        cost
    }

    fn is_on(&self, z: usize) -> bool {
        self.best.x[z] > 0.5
    }

    fn turn_over(&mut self, switches: &[usize], left: &mut usize) {
        if *left > 0 {
            *left -= 1;
            let mut x = self.best.x.clone();
            switches.iter().for_each(|z| x[*z] = 1.0 - x[*z].round());
            self.point(&x);
        }
    }
}

/// Paths of the generators, each on from another share of the relaxation's.
fn gensets(model: &Model<'_>, relaxed: &Answer) -> Vec<Vec<(Var, f64)>> {
    let path = |share: f64| {
        let mut all = Vec::new();
        for (v, g) in model
            .gensets
            .iter()
            .zip(&model.p.gensets)
            .filter(|(v, _)| !v.on.is_empty())
        {
            let wish: Vec<bool> = v.on.iter().map(|z| relaxed.x[z.0] >= share).collect();
            let may = vec![true; wish.len()];
            let min_steps = (g.min_up_steps.max(1), g.min_down_steps.max(1));
            let path = Switched::nearest(g.initial_on, min_steps, &wish, &may);
            // steps that decide together or are bound already have fewer paths than this one knows of
            if g.commit_blocks.is_some() || path.iter().take(g.fixed_steps).any(|on| *on != g.initial_on) {
                return Vec::new();
            }
            all.extend(v.on.iter().zip(path).map(|(z, on)| (*z, f64::from(u8::from(on)))));
        }
        all
    };
    let mut paths: Vec<_> = SHARES.into_iter().map(path).filter(|p| !p.is_empty()).collect();
    paths.dedup();
    paths
}

/// Directions of the pairs: the binaries behind the model's own columns.
fn directions(trial: &mut Trial<'_>, model: &Model<'_>, relaxed: &Answer) {
    let program = trial.program;
    let own = model.program.cost.len();
    let mut order: Vec<usize> = (own..program.cost.len()).filter(|z| program.integer[*z]).collect();
    // pairs that got their binary after the relaxation are few
    if order.is_empty() || relaxed.x.len() < program.cost.len() {
        return;
    }
    order.sort_by(|a, b| relaxed.x[*b].total_cmp(&relaxed.x[*a]));
    let in_time = {
        let mut z = order.clone();
        z.sort_unstable();
        z
    };
    let threshold = threshold(trial, &order);
    let first = threshold
        .saturating_sub(TURNED / 2)
        .min(order.len().saturating_sub(TURNED));
    let nearest: Vec<usize> = order.into_iter().skip(first).take(TURNED).collect();
    let mut left = TRIES;
    let mut before = f64::INFINITY;
    while trial.best.objective < before && left > 0 {
        before = trial.best.objective;
        for apart in [1, 2] {
            for (a, b) in in_time.iter().zip(in_time.iter().skip(apart)) {
                if trial.is_on(*a) != trial.is_on(*b) {
                    trial.turn_over(&[*a, *b], &mut left);
                }
            }
        }
        for z in &nearest {
            trial.turn_over(&[*z], &mut left);
        }
    }
}

/// How many switches, in that order, are best on: over all of them in strides, then nearer and nearer to the best.
fn threshold(trial: &mut Trial<'_>, order: &[usize]) -> usize {
    let mut cost_of = |k: usize| {
        let mut x = trial.best.x.clone();
        order
            .iter()
            .enumerate()
            .for_each(|(n, z)| x[*z] = f64::from(u8::from(n < k)));
        trial.point(&x)
    };
    let mut stride = order.len().div_ceil(PLACES);
    let mut best = (f64::INFINITY, 0);
    for k in (0..=order.len()).step_by(stride) {
        let cost = cost_of(k);
        if cost < best.0 {
            best = (cost, k);
        }
    }
    while stride > 1 {
        stride = stride.div_ceil(2);
        for k in [best.1.saturating_sub(stride), (best.1 + stride).min(order.len())] {
            let cost = cost_of(k);
            if cost < best.0 {
                best = (cost, k);
            }
        }
    }
    best.1
}
