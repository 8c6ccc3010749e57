//! A program made smaller without changing its answer, and its answer put together again and measured.

use super::interior::Lp;
use super::program::{Program, Row, Sense, Var};
use super::solver::{Answer, RESIDUAL_MAX};

/// The program without columns that cannot move and rows that only bound one column: interior-point methods need room
/// between bounds, and branch and bound fixes many columns.
pub struct Reduced {
    pub low: Vec<f64>,
    pub high: Vec<f64>,
    /// Original index of each column that is left.
    pub free: Vec<usize>,
    /// Each has a column that is left: without any there are none.
    pub rows: Vec<ReducedRow>,
}

pub struct ReducedRow {
    /// Row of the original program.
    pub origin: usize,
    /// (position in `free`, coefficient)
    pub terms: Vec<(usize, f64)>,
    pub sense: Sense,
    pub rhs: f64,
}

const FIXED: f64 = 1e-11;

impl Reduced {
    pub fn of(program: &Program) -> Result<Self, String> {
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
            if row.sense == Sense::AtMost && highest(&row.terms, &low, &high) <= row.rhs {
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

    /// Cost that no column that is left moves.
    pub fn held_cost(&self, program: &Program) -> f64 {
        let moved: f64 = self.free.iter().map(|i| program.cost[*i] * self.low[*i]).sum();
        program.objective(&self.low) - moved
    }

    /// Typical price, so that won and euro meet the same tolerances.
    pub fn price_scale(&self, program: &Program) -> f64 {
        let mut costs: Vec<f64> = self
            .free
            .iter()
            .map(|i| program.cost[*i].abs())
            .filter(|c| *c > 0.0)
            .collect();
        if costs.is_empty() {
            return 1.0;
        }
        let middle = costs.len() / 2;
        let (_, median, _) = costs.select_nth_unstable_by(middle, f64::total_cmp);
        (4.0 * *median).clamp(1e-6, 1e9)
    }

    /// Puts the point together again, clips it to its bounds and measures it.
    pub fn answer(
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

    /// What no point can cost less than, for any prices of the rows (Lagrange): a certificate that needs no trust in the
    /// solver that found the prices.
    pub fn bound(&self, program: &Program, duals: &[f64]) -> f64 {
        let mut reduced_cost = program.cost.clone();
        let mut bound = program.constant;
        for (row, dual) in self.rows.iter().zip(duals) {
            let price = if row.sense == Sense::AtMost {
                dual.min(0.0)
            } else {
                *dual
            };
            bound += price * row.rhs;
            for (k, a) in &row.terms {
                reduced_cost[self.free[*k]] -= price * a;
            }
        }
        let least = |(i, c): (usize, &f64)| (c * self.low[i]).min(c * self.high[i]);
        bound + reduced_cost.iter().enumerate().map(least).sum::<f64>()
    }

    /// By column, shifted so that every column starts at zero, costs divided by `scale`.
    pub fn columns(&self, program: &Program, scale: f64) -> Lp {
        let n = self.free.len();
        let mut start = vec![0; n + 1];
        for (k, _) in self.rows.iter().flat_map(|r| &r.terms) {
            start[k + 1] += 1;
        }
        (0..n).for_each(|k| start[k + 1] += start[k]);
        let mut next = start.clone();
        let (mut row, mut value) = (vec![0; start[n]], vec![0.0; start[n]]);
        let mut rhs: Vec<f64> = self.rows.iter().map(|r| r.rhs).collect();
        for (r, terms) in self.rows.iter().map(|r| &r.terms).enumerate() {
            for (k, a) in terms {
                (row[next[*k]], value[next[*k]]) = (r as u32, *a);
                next[*k] += 1;
                rhs[r] -= a * self.low[self.free[*k]];
            }
        }
        Lp {
            start,
            row,
            value,
            cost: self.free.iter().map(|i| program.cost[*i] / scale).collect(),
            width: self.free.iter().map(|i| self.high[*i] - self.low[*i]).collect(),
            rhs,
            at_most: self.rows.iter().map(|r| r.sense == Sense::AtMost).collect(),
        }
    }
}

/// Largest value of a row's left side within the bounds.
fn highest(terms: &[(Var, f64)], low: &[f64], high: &[f64]) -> f64 {
    terms.iter().map(|(v, k)| (k * low[v.0]).max(k * high[v.0])).sum()
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
