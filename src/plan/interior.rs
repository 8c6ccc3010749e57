//! Interior-point method for linear programs whose rows follow each other in time: `min c·x, A·x (=|≤) b, 0 ≤ x ≤ width`.
//!
//! Mehrotra's predictor and corrector (SIAM J. Optim. 2, 1992) with bounds handled apart from the rows, so that what is
//! factored has one row a constraint instead of one a bound. Columns in many rows (a demand peak) stay in the system as
//! a border: `[A·Θ·Aᵀ  a; aᵀ  −1/θ]` is quasi-definite. Ordering finds the time structure by itself. Each direction
//! is refined once against the true matrix. The answer is the middle of the optimal face, with duals; at the end it is
//! brought onto its rows, since what one row is off by adds up over all steps that follow.

use super::ldl::Ldl;

/// Columns in more rows than this become part of the border.
const DENSE: usize = 10;
const ITERATIONS: usize = 80;
/// Relative tolerance of gap and residual at which the search ends.
const TOLERANCE: f64 = 1e-9;
/// What is still worth measuring when no further step helps.
const ACCEPTABLE: f64 = 1e-7;
/// Share of the way to the nearest bound that is gone.
const STEP: f64 = 0.9995;
/// Most steps from the answer onto its rows, and the error from which on it lies there.
const ONTO_ROWS: usize = 3;
const ON_ROW: f64 = 1e-13;
/// Share of its distance to a bound that a column keeps in such a step.
const NEAR: f64 = 0.1;
/// Nearest to a bound that a column is taken to be there.
const NEAREST: f64 = 1e-10;
/// Added to each diagonal, relative; refinement takes it out again.
const REGULAR: f64 = 1e-12;

/// A program by column; `width` may be infinite.
#[derive(Debug, Clone, Default)]
pub struct Lp {
    /// Where the entries of each column begin; one more than there are columns.
    pub start: Vec<usize>,
    pub row: Vec<u32>,
    pub value: Vec<f64>,
    pub cost: Vec<f64>,
    pub width: Vec<f64>,
    pub rhs: Vec<f64>,
    pub at_most: Vec<bool>,
}

/// An answer: columns, and the change of the objective per unit of each right-hand side.
#[derive(Debug, Clone)]
pub struct Point {
    pub x: Vec<f64>,
    pub duals: Vec<f64>,
}

impl Lp {
    /// Adds a slack to each `≤` row and brings every row's largest coefficient to one; the scales are returned.
    fn standard(&self) -> (Self, Vec<f64>) {
        let mut lp = self.clone();
        let mut largest = vec![0.0f64; self.rhs.len()];
        for (r, v) in self.row.iter().zip(&self.value) {
            largest[*r as usize] = largest[*r as usize].max(v.abs());
        }
        let scale: Vec<f64> = largest.iter().map(|l| if *l > 0.0 { 1.0 / l } else { 1.0 }).collect();
        lp.row
            .iter()
            .zip(&mut lp.value)
            .for_each(|(r, v)| *v *= scale[*r as usize]);
        lp.rhs.iter_mut().zip(&scale).for_each(|(b, s)| *b *= s);
        for r in (0..self.rhs.len()).filter(|r| self.at_most[*r]) {
            lp.row.push(r as u32);
            lp.value.push(1.0);
            lp.start.push(lp.row.len());
            lp.cost.push(0.0);
            lp.width.push(f64::INFINITY);
        }
        (lp, scale)
    }

    fn entries(&self, j: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = self.start[j]..self.start[j + 1];
        self.row[range.clone()]
            .iter()
            .map(|r| *r as usize)
            .zip(self.value[range].iter().copied())
    }

    fn transposed(&self, j: usize, y: &[f64]) -> f64 {
        self.entries(j).map(|(r, v)| v * y[r]).sum()
    }

    /// `b − A·x`
    fn residual(&self, x: &[f64], out: &mut [f64]) {
        out.copy_from_slice(&self.rhs);
        self.subtract(x, out);
    }

    fn subtract(&self, x: &[f64], out: &mut [f64]) {
        for (j, x) in x.iter().enumerate() {
            self.entries(j).for_each(|(r, v)| out[r] -= v * x);
        }
    }
}

/// Solves; `Err` where it does not converge (an infeasible program never does).
pub fn solve(program: &Lp) -> Result<Point, String> {
    let (lp, scale) = program.standard();
    let mut search = Search::new(&lp)?;
    search.run()?;
    search.onto_rows();
    let mut x = search.x;
    x.truncate(program.cost.len());
    let duals = search.y.iter().zip(&scale).map(|(y, s)| y * s).collect();
    Ok(Point { x, duals })
}

/// Brings another solver's answer onto its rows.
pub fn onto_rows(program: &Lp, x: Vec<f64>) -> Result<Vec<f64>, String> {
    let (lp, _) = program.standard();
    let mut search = Search::new(&lp)?;
    let mut left = program.rhs.clone();
    program.subtract(&x, &mut left);
    let slacks = left
        .iter()
        .zip(&program.at_most)
        .filter(|(_, at_most)| **at_most)
        .map(|(left, _)| *left);
    let values = x.into_iter().chain(slacks);
    let inside = |(x, width): (f64, &f64)| x.clamp(NEAREST, (width - NEAREST).max(NEAREST));
    search.stand_at(values.zip(&lp.width).map(inside).collect());
    search.onto_rows();
    search.x.truncate(program.cost.len());
    Ok(search.x)
}

/// The system that is factored: where each product of a column's entries is added.
struct System {
    ldl: Ldl,
    /// Per product: slot, column, `a·b`.
    products: Vec<(u32, u32, f64)>,
    /// Border columns: index of each in the system behind the rows; their entries are constant.
    border: Vec<usize>,
    constant: Vec<(u32, f64)>,
    diagonal: Vec<u32>,
}

impl System {
    fn of(lp: &Lp) -> Result<Self, String> {
        let m = lp.rhs.len();
        let dense = |j: &usize| lp.start[j + 1] - lp.start[*j] > DENSE;
        let border: Vec<usize> = (0..lp.cost.len()).filter(dense).collect();
        let n = m + border.len();
        let mut pairs: Vec<(u32, u32)> = (0..n as u32).map(|i| (i, i)).collect();
        let mut owners: Vec<(u32, f64)> = Vec::with_capacity(4 * lp.row.len());
        for j in (0..lp.cost.len()).filter(|j| !dense(j)) {
            for (k, (r, a)) in lp.entries(j).enumerate() {
                for (q, b) in lp.entries(j).take(k + 1) {
                    pairs.push((r as u32, q as u32));
                    owners.push((j as u32, a * b));
                }
            }
        }
        let sparse = pairs.len();
        let mut values = Vec::new();
        for (k, j) in border.iter().enumerate() {
            for (r, a) in lp.entries(*j) {
                pairs.push((r as u32, (m + k) as u32));
                values.push(a);
            }
        }
        let (ldl, slots) = Ldl::analyse(n, &pairs)?;
        Ok(Self {
            products: slots[n..sparse]
                .iter()
                .zip(&owners)
                .map(|(s, (j, p))| (*s, *j, *p))
                .collect(),
            constant: slots[sparse..].iter().copied().zip(values).collect(),
            diagonal: slots[..n].to_vec(),
            border,
            ldl,
        })
    }

    fn factor(&mut self, theta: &[f64]) {
        let m = self.diagonal.len() - self.border.len();
        self.ldl.values.fill(0.0);
        for (slot, j, product) in &self.products {
            self.ldl.values[*slot as usize] += product * theta[*j as usize];
        }
        for (slot, value) in &self.constant {
            self.ldl.values[*slot as usize] += value;
        }
        for (k, j) in self.border.iter().enumerate() {
            self.ldl.values[self.diagonal[m + k] as usize] = -1.0 / theta[*j];
        }
        for slot in &self.diagonal {
            self.ldl.values[*slot as usize] *= 1.0 + REGULAR;
        }
        self.ldl.factor();
    }
}

fn largest(values: &[f64]) -> f64 {
    // what is not a number stays so
    let larger = |a: f64, b: &f64| if b.abs() <= a || a.is_nan() { a } else { b.abs() };
    values.iter().fold(0.0, larger)
}

/// The iterate: `x`, distance to the upper bound `v`, multipliers `y`, `z` (lower), `f` (upper).
struct Search<'a> {
    lp: &'a Lp,
    system: System,
    x: Vec<f64>,
    v: Vec<f64>,
    y: Vec<f64>,
    z: Vec<f64>,
    f: Vec<f64>,
    theta: Vec<f64>,
    /// `b − A·x` and `c − Aᵀy − z + f`
    primal: Vec<f64>,
    dual: Vec<f64>,
    /// Right-hand sides of the complementarity rows.
    rz: Vec<f64>,
    rf: Vec<f64>,
    dx: Vec<f64>,
    dy: Vec<f64>,
    dz: Vec<f64>,
    df: Vec<f64>,
    g: Vec<f64>,
    full: Vec<f64>,
    left: Vec<f64>,
    bounded: usize,
}

impl<'a> Search<'a> {
    fn new(lp: &'a Lp) -> Result<Self, String> {
        let (n, m) = (lp.cost.len(), lp.rhs.len());
        let reach = lp.rhs.iter().fold(1.0, |a: f64, b| a.max(b.abs()));
        let x: Vec<f64> = lp.width.iter().map(|w| (0.5 * w).min(reach)).collect();
        let v = lp.width.iter().zip(&x).map(|(w, x)| w - x).collect();
        // multipliers that make the dual hold from the start
        let lift = lp.cost.iter().fold(0.0, |a: f64, c| a.max(c.abs())).clamp(1e-3, 1.0);
        let bounded = |j: usize| lp.width[j].is_finite();
        let z = (0..n)
            .map(|j| lp.cost[j].max(0.0) + if bounded(j) || lp.cost[j] <= 0.0 { lift } else { 0.0 })
            .collect();
        let f = (0..n)
            .map(|j| if bounded(j) { (-lp.cost[j]).max(0.0) + lift } else { 0.0 })
            .collect();
        let system = System::of(lp)?;
        let size = m + system.border.len();
        let zeros = || vec![0.0; n];
        Ok(Self {
            lp,
            system,
            x,
            v,
            z,
            f,
            y: vec![0.0; m],
            theta: zeros(),
            primal: vec![0.0; m],
            dual: zeros(),
            rz: zeros(),
            rf: zeros(),
            dx: zeros(),
            dy: vec![0.0; m],
            dz: zeros(),
            df: zeros(),
            g: zeros(),
            full: vec![0.0; size],
            left: vec![0.0; m],
            bounded: (0..n).filter(|j| bounded(*j)).count(),
        })
    }

    fn run(&mut self) -> Result<(), String> {
        let mut best = (f64::INFINITY, Vec::new(), Vec::new());
        let mut idle = 0;
        for _ in 0..ITERATIONS {
            let error = self.error();
            if error <= TOLERANCE {
                return Ok(());
            }
            if error < 0.9 * best.0 {
                best = (error, self.x.clone(), self.y.clone());
                idle = 0;
            } else {
                idle += 1;
            }
            if idle > 12 || !error.is_finite() {
                break;
            }
            self.step();
        }
        if best.0 <= ACCEPTABLE {
            self.y = best.2;
            self.stand_at(best.1);
            return Ok(());
        }
        Err(format!("interior: did not converge (error {:.0e})", best.0))
    }

    fn gap(&self) -> f64 {
        let finite = (0..self.x.len()).filter(|j| self.lp.width[*j].is_finite());
        let upper: f64 = finite.map(|j| self.v[j] * self.f[j]).sum();
        upper + self.x.iter().zip(&self.z).map(|(x, z)| x * z).sum::<f64>()
    }

    /// Largest relative error of rows, duals and gap; brings the residuals up to date.
    fn error(&mut self) -> f64 {
        self.lp.residual(&self.x, &mut self.primal);
        for j in 0..self.x.len() {
            self.dual[j] = self.lp.cost[j] - self.lp.transposed(j, &self.y) - self.z[j] + self.f[j];
        }
        let money: f64 = self.lp.cost.iter().zip(&self.x).map(|(c, x)| c * x).sum();
        let primal = largest(&self.primal);
        let dual = largest(&self.dual) / (1.0 + largest(&self.lp.cost));
        primal.max(dual).max(self.gap() / (1.0 + money.abs()))
    }

    fn step(&mut self) {
        let finite = |lp: &Lp, j: usize| lp.width[j].is_finite();
        for j in 0..self.x.len() {
            let upper = if finite(self.lp, j) { self.f[j] / self.v[j] } else { 0.0 };
            self.theta[j] = 1.0 / (self.z[j] / self.x[j] + upper);
            self.rz[j] = -self.x[j] * self.z[j];
            self.rf[j] = -self.v[j] * self.f[j];
            if !finite(self.lp, j) {
                self.rf[j] = 0.0;
            }
        }
        self.system.factor(&self.theta);
        self.direction();
        let (primal, dual) = self.lengths(1.0);
        let pairs = (self.x.len() + self.bounded) as f64;
        let mu = self.gap() / pairs;
        let aimed = self.gap_after(primal, dual) / pairs;
        let target = (aimed / mu).powi(3) * mu;
        for j in 0..self.x.len() {
            self.rz[j] += target - self.dx[j] * self.dz[j];
            if finite(self.lp, j) {
                self.rf[j] += target + self.dx[j] * self.df[j];
            }
        }
        self.direction();
        let (primal, dual) = self.lengths(STEP);
        self.go(primal, dual);
    }

    /// Moves `x` onto the rows by the least step `Θ·Aᵀ·(A·Θ·Aᵀ)⁻¹·(b − A·x)`, `Θ` the room to the nearest bound: what lies at
    /// one hardly moves. (The last iterate's own `Θ` spans twenty powers of ten, and leaves rows out.)
    fn onto_rows(&mut self) {
        self.g.fill(0.0);
        self.lp.residual(&self.x, &mut self.primal);
        let mut before = largest(&self.primal);
        for _ in 0..ONTO_ROWS {
            if before <= ON_ROW {
                return;
            }
            let room = |(x, v): (&f64, &f64)| x.min(*v).max(NEAREST);
            self.theta = self.x.iter().zip(&self.v).map(room).collect();
            self.system.factor(&self.theta);
            self.towards_rows();
            // what would leave its bounds goes most of the way; the next step knows that it has no more room
            let stepped = |j: usize| {
                (self.x[j] + self.dx[j]).clamp(NEAR * self.x[j], self.x[j] + (1.0 - NEAR) * self.v[j].max(0.0))
            };
            let x: Vec<f64> = (0..self.x.len()).map(stepped).collect();
            self.lp.residual(&x, &mut self.primal);
            let after = largest(&self.primal);
            if after.is_nan() || after >= before {
                return;
            }
            self.stand_at(x);
            before = after;
        }
    }

    fn stand_at(&mut self, x: Vec<f64>) {
        self.v = self.lp.width.iter().zip(&x).map(|(w, x)| w - x).collect();
        self.x = x;
    }

    /// Newton's direction for the present right-hand sides.
    fn direction(&mut self) {
        let lp = self.lp;
        for j in 0..self.x.len() {
            let upper = if lp.width[j].is_finite() {
                self.rf[j] / self.v[j]
            } else {
                0.0
            };
            self.g[j] = self.dual[j] - self.rz[j] / self.x[j] + upper;
        }
        self.towards_rows();
        for j in 0..self.x.len() {
            self.dz[j] = (self.rz[j] - self.z[j] * self.dx[j]) / self.x[j];
            self.df[j] = if lp.width[j].is_finite() {
                (self.rf[j] + self.f[j] * self.dx[j]) / self.v[j]
            } else {
                0.0
            };
        }
    }

    /// `dx` and `dy` of `A·dx = b − A·x` and `dx = Θ·(Aᵀ·dy − g)`, refined once.
    fn towards_rows(&mut self) {
        let (lp, m) = (self.lp, self.lp.rhs.len());
        self.dy.fill(0.0);
        self.left.copy_from_slice(&self.primal);
        // the first pass starts from x-direction −θ·g, the second repairs what the first missed
        for pass in 0..2 {
            self.full[..m].copy_from_slice(&self.left);
            self.full[m..].fill(0.0);
            if pass == 0 {
                for j in 0..self.x.len() {
                    let pull = self.theta[j] * self.g[j];
                    lp.entries(j).for_each(|(r, v)| self.full[r] += v * pull);
                }
                for (k, j) in self.system.border.iter().enumerate() {
                    let pull = self.theta[*j] * self.g[*j];
                    lp.entries(*j).for_each(|(r, v)| self.full[r] -= v * pull);
                    self.full[m + k] = self.g[*j];
                }
            }
            self.system.ldl.solve(&mut self.full);
            self.dy.iter_mut().zip(&self.full).for_each(|(dy, d)| *dy += d);
            for j in 0..self.x.len() {
                self.dx[j] = self.theta[j] * (lp.transposed(j, &self.dy) - self.g[j]);
            }
            if pass == 0 {
                self.left.copy_from_slice(&self.primal);
                lp.subtract(&self.dx, &mut self.left);
            }
        }
    }

    /// Longest step of `x` that keeps it inside its bounds, times `share`.
    fn primal_length(&self, share: f64) -> f64 {
        let mut primal = 1.0f64;
        for j in 0..self.x.len() {
            if self.dx[j] < 0.0 {
                primal = primal.min(-share * self.x[j] / self.dx[j]);
            } else if self.dx[j] > 0.0 {
                primal = primal.min(share * self.v[j] / self.dx[j]);
            }
        }
        primal
    }

    /// Longest steps that keep everything positive, times `share`.
    fn lengths(&self, share: f64) -> (f64, f64) {
        let mut dual = 1.0f64;
        for j in 0..self.x.len() {
            if self.dz[j] < 0.0 {
                dual = dual.min(-share * self.z[j] / self.dz[j]);
            }
            if self.df[j] < 0.0 {
                dual = dual.min(-share * self.f[j] / self.df[j]);
            }
        }
        (self.primal_length(share), dual)
    }

    fn gap_after(&self, primal: f64, dual: f64) -> f64 {
        let pair = |j: usize| {
            let lower = (self.x[j] + primal * self.dx[j]) * (self.z[j] + dual * self.dz[j]);
            match self.lp.width[j].is_finite() {
                true => lower + (self.v[j] - primal * self.dx[j]) * (self.f[j] + dual * self.df[j]),
                false => lower,
            }
        };
        (0..self.x.len()).map(pair).sum()
    }

    fn go(&mut self, primal: f64, dual: f64) {
        for j in 0..self.x.len() {
            self.x[j] += primal * self.dx[j];
            self.v[j] -= primal * self.dx[j];
            self.z[j] += dual * self.dz[j];
            self.f[j] += dual * self.df[j];
        }
        self.y.iter_mut().zip(&self.dy).for_each(|(y, d)| *y += dual * d);
    }
}
