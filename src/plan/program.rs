//! A linear program as plain data: columns with bounds, rows with a family name, one price scale.
//!
//! Kept apart from any solver so that every answer can be re-costed and its residual recomputed here.

use smallvec::{SmallVec, smallvec};
use std::ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign};
use std::rc::Rc;

/// A column of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Var(pub usize);

/// Row of the program; needed to ask for its dual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowId(pub usize);

/// Terms of an expression; most have few, which then need no memory of their own.
type Terms = SmallVec<[(Var, f64); 4]>;

/// Linear expression `Σ k·v + constant`; a variable may appear more than once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expr {
    pub terms: Terms,
    pub constant: f64,
}

impl From<Var> for Expr {
    fn from(v: Var) -> Self {
        1.0 * v
    }
}
impl From<f64> for Expr {
    fn from(constant: f64) -> Self {
        Self {
            terms: Terms::new(),
            constant,
        }
    }
}
impl Mul<Var> for f64 {
    type Output = Expr;
    fn mul(self, v: Var) -> Expr {
        Expr {
            terms: smallvec![(v, self)],
            constant: 0.0,
        }
    }
}
impl Mul<&Expr> for f64 {
    type Output = Expr;
    fn mul(self, e: &Expr) -> Expr {
        Expr {
            terms: e.terms.iter().map(|(v, k)| (*v, k * self)).collect(),
            constant: e.constant * self,
        }
    }
}
impl<E: Into<Expr>> AddAssign<E> for Expr {
    fn add_assign(&mut self, other: E) {
        let other = other.into();
        self.terms.extend(other.terms);
        self.constant += other.constant;
    }
}
impl<E: Into<Expr>> SubAssign<E> for Expr {
    fn sub_assign(&mut self, other: E) {
        let other = other.into();
        self.terms.extend(other.terms.into_iter().map(|(v, k)| (v, -k)));
        self.constant -= other.constant;
    }
}
impl<E: Into<Expr>> Add<E> for Expr {
    type Output = Self;
    fn add(mut self, other: E) -> Self {
        self += other;
        self
    }
}
impl<E: Into<Expr>> Sub<E> for Expr {
    type Output = Self;
    fn sub(mut self, other: E) -> Self {
        self -= other;
        self
    }
}
impl Expr {
    /// Adds `k · other`.
    pub fn add(&mut self, k: f64, other: &Self) {
        self.terms.extend(other.terms.iter().map(|(v, a)| (*v, k * a)));
        self.constant += k * other.constant;
    }
}
impl Neg for Expr {
    type Output = Self;
    fn neg(mut self) -> Self {
        self.terms.iter_mut().for_each(|(_, k)| *k = -*k);
        self.constant = -self.constant;
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sense {
    /// `terms ≤ rhs`
    AtMost,
    Equal,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Name of the constraint function that made it.
    pub family: &'static str,
    pub terms: Vec<(Var, f64)>,
    pub sense: Sense,
    pub rhs: f64,
    pub mark: Mark,
}

/// Whose a column or row is and of which step: what names it the same in the problem a step later. Only a solver that
/// starts from an earlier answer reads it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    owner: u32,
    pub step: u32,
}

impl Mark {
    /// The same thing, `shift` steps later.
    #[cfg(feature = "highs")]
    pub fn later(self, shift: u32) -> Self {
        Self {
            step: self.step + shift,
            ..self
        }
    }
}

impl Row {
    /// `expr ≤ 0` or `expr = 0`
    pub fn of(family: &'static str, expr: Expr, sense: Sense) -> Self {
        Self {
            family,
            terms: merged(expr.terms),
            sense,
            rhs: -expr.constant,
            mark: Mark::default(),
        }
    }
}

/// Minimise `cost·x` over `low ≤ x ≤ high`, rows, and some columns integer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Program {
    pub cost: Vec<f64>,
    pub low: Vec<f64>,
    pub high: Vec<f64>,
    pub integer: Vec<bool>,
    /// Shared by the programs that differ in bounds alone.
    pub rows: Rc<Vec<Row>>,
    /// Cost that no variable moves.
    pub constant: f64,
    /// Of each column.
    pub marks: Vec<Mark>,
    /// Of what is made next.
    mark: Mark,
}

impl Program {
    /// What is made from here on belongs to the component of that id.
    pub fn owned_by(&mut self, id: &str) {
        // FNV: two ids with the same number would only make a worse start for a solver
        let owner = id
            .bytes()
            .fold(0x811c_9dc5, |h: u32, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
        self.mark = Mark { owner, step: 0 };
    }
    /// What is made next is of step `t`.
    pub fn at(&mut self, t: usize) -> &mut Self {
        self.mark.step = t as u32;
        self
    }
    /// The last step that a column of the terms is of.
    fn step_of(&self, terms: &[(Var, f64)]) -> u32 {
        terms.iter().map(|(v, _)| self.marks[v.0].step).max().unwrap_or(0)
    }
    /// What is made next is of the last step of the terms.
    pub fn at_step_of(&mut self, expr: &Expr) -> &mut Self {
        self.mark.step = self.step_of(&expr.terms);
        self
    }
    /// A column within finite bounds.
    pub fn var(&mut self, low: f64, high: f64) -> Var {
        self.cost.push(0.0);
        self.low.push(low);
        self.high.push(high.max(low));
        self.integer.push(false);
        self.marks.push(self.mark);
        Var(self.cost.len() - 1)
    }
    /// A column that is 0 or 1.
    pub fn binary(&mut self) -> Var {
        let v = self.var(0.0, 1.0);
        self.integer[v.0] = true;
        v
    }
    /// Adds `price · expr` to the objective.
    pub fn cost(&mut self, price: f64, expr: impl Into<Expr>) {
        let expr = expr.into();
        for (v, k) in &expr.terms {
            self.cost[v.0] += price * k;
        }
        self.constant += price * expr.constant;
    }
    /// `left = right`
    pub fn equal(&mut self, family: &'static str, left: impl Into<Expr>, right: impl Into<Expr>) -> RowId {
        self.row(family, left.into() - right.into(), Sense::Equal)
    }
    /// `left ≤ right`
    pub fn at_most(&mut self, family: &'static str, left: impl Into<Expr>, right: impl Into<Expr>) -> RowId {
        self.row(family, left.into() - right.into(), Sense::AtMost)
    }

    fn row(&mut self, family: &'static str, expr: Expr, sense: Sense) -> RowId {
        let mark = Mark {
            step: self.step_of(&expr.terms),
            ..self.mark
        };
        let row = Row {
            mark,
            ..Row::of(family, expr, sense)
        };
        Rc::make_mut(&mut self.rows).push(row);
        RowId(self.rows.len() - 1)
    }

    pub fn has_integers(&self) -> bool {
        (0..self.cost.len()).any(|i| self.integer[i] && self.high[i] - self.low[i] > 0.5)
    }
    /// The same program with every integer column relaxed to its bounds.
    pub fn relaxed(&self) -> Self {
        let mut p = self.clone();
        p.integer.fill(false);
        p
    }
    /// The same program with every integer column held at its rounded value in `x`.
    pub fn fixed_at(&self, x: &[f64]) -> Self {
        let mut p = self.clone();
        for (i, value) in x.iter().enumerate().filter(|(i, _)| self.integer[*i]) {
            let whole = value.round().clamp(p.low[i], p.high[i]);
            (p.low[i], p.high[i], p.integer[i]) = (whole, whole, false);
        }
        p
    }
    /// Moves a point into its bounds (solvers overshoot by their tolerance).
    pub fn clip(&self, x: &mut [f64]) {
        for (i, value) in x.iter_mut().enumerate() {
            *value = value.max(self.low[i]).min(self.high[i]);
        }
    }
    pub fn objective(&self, x: &[f64]) -> f64 {
        self.constant + self.cost.iter().zip(x).map(|(c, x)| c * x).sum::<f64>()
    }
    /// Largest violation of any row, in the row's own unit, and its family.
    pub fn residual(&self, x: &[f64]) -> (f64, &'static str) {
        let mut worst = (0.0, "none");
        for row in self.rows.iter() {
            let left: f64 = row.terms.iter().map(|(v, k)| k * x[v.0]).sum();
            let amount = match row.sense {
                Sense::AtMost => left - row.rhs,
                Sense::Equal => (left - row.rhs).abs(),
            };
            if amount > worst.0 || amount.is_nan() {
                worst = (if amount.is_nan() { f64::INFINITY } else { amount }, row.family);
            }
        }
        worst
    }
}

/// Adds up repeated variables and drops zeros, in order of the columns.
fn merged(mut terms: Terms) -> Vec<(Var, f64)> {
    terms.sort_by_key(|(v, _)| *v);
    terms.dedup_by(|(v, k), (last, sum)| {
        let same = v == last;
        if same {
            *sum += *k;
        }
        same
    });
    terms.retain(|(_, k)| *k != 0.0);
    terms.into_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_adds_up_repeated_variables_and_moves_constants_to_the_right() {
        let mut p = Program::default();
        let (a, b) = (p.var(0.0, 9.0), p.var(0.0, 9.0));
        p.at_most("test", 2.0 * a + 1.0 * b + 1.0 * a + 4.0, 10.0);
        assert_eq!(p.rows[0].terms, [(a, 3.0), (b, 1.0)]);
        assert_eq!(p.rows[0].rhs, 6.0);
        assert_eq!(p.residual(&[2.0, 1.0]), (1.0, "test"));
    }
}
