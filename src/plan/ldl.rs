//! Sparse `L·D·Lᵀ` of a symmetric quasi-definite matrix: ordered once for few fill-ins, then factored as often as wanted.
//!
//! Up-looking, after Davis, *Direct Methods for Sparse Linear Systems* (2006), ch. 4; the order is approximate minimum
//! degree. No pivoting: any order works for quasi-definite matrices (Vanderbei 1995), with a regularised diagonal.

/// Pivots smaller than this share of their diagonal are dependent rows: they are left out of the solution.
const DEPENDENT: f64 = 1e-14;
const LEFT_OUT: f64 = 1e64;

const NONE: usize = usize::MAX;

/// A factorisation with its pattern.
#[derive(Debug, Clone)]
pub struct Ldl {
    /// New place of each old row.
    place: Vec<usize>,
    /// Upper triangle in the new order, by column; values are set by the caller.
    column: Vec<usize>,
    row: Vec<usize>,
    pub values: Vec<f64>,
    parent: Vec<usize>,
    below: Vec<usize>,
    l_row: Vec<usize>,
    l: Vec<f64>,
    d_inverse: Vec<f64>,
    work: Work,
}

#[derive(Debug, Clone)]
struct Work {
    y: Vec<f64>,
    mark: Vec<usize>,
    next: Vec<usize>,
    pattern: Vec<usize>,
    path: Vec<usize>,
    rhs: Vec<f64>,
}

impl Ldl {
    /// Orders a pattern given as `(row, column)` pairs of either triangle, repeats allowed; also tells the place in
    /// `values` of each pair. Every diagonal entry must be among them.
    pub fn analyse(n: usize, pairs: &[(u32, u32)]) -> Result<(Self, Vec<u32>), String> {
        let (given, given_slots) = merged(n, pairs);
        let place = order(n, &given)?;
        let (Triangle { column, row }, new_slots) = permuted(n, &given, &place);
        let slots = given_slots.iter().map(|slot| new_slots[*slot as usize]).collect();
        let (parent, below) = elimination_tree(n, &column, &row);
        let entries = below[n];
        let ldl = Self {
            place,
            values: vec![0.0; row.len()],
            column,
            row,
            parent,
            below,
            l_row: vec![0; entries],
            l: vec![0.0; entries],
            d_inverse: vec![0.0; n],
            work: Work::of(n),
        };
        Ok((ldl, slots))
    }

    /// Factors the matrix whose upper triangle stands in `values`.
    pub fn factor(&mut self) {
        let n = self.place.len();
        let w = &mut self.work;
        w.next.copy_from_slice(&self.below[..n]);
        w.mark.fill(NONE);
        for k in 0..n {
            w.pattern.clear();
            let mut d = 0.0;
            for p in self.column[k]..self.column[k + 1] {
                let i = self.row[p];
                if i == k {
                    d += self.values[p];
                    continue;
                }
                w.y[i] = self.values[p];
                w.reach(i, k, &self.parent);
            }
            let diagonal = d;
            // patterns are gathered leaf to root, path by path, last path first
            for s in (0..w.pattern.len()).rev() {
                let i = w.pattern[s];
                let y = std::mem::take(&mut w.y[i]);
                for p in self.below[i]..w.next[i] {
                    w.y[self.l_row[p]] -= self.l[p] * y;
                }
                let l = y * self.d_inverse[i];
                d -= y * l;
                let p = w.next[i];
                self.l_row[p] = k;
                self.l[p] = l;
                w.next[i] = p + 1;
            }
            self.d_inverse[k] = pivot(d, diagonal);
        }
    }

    /// Solves in place; `b` in the old order.
    pub fn solve(&mut self, b: &mut [f64]) {
        let n = self.place.len();
        let x = &mut self.work.rhs;
        self.place.iter().zip(b.iter()).for_each(|(new, v)| x[*new] = *v);
        for k in 0..n {
            let v = x[k];
            for p in self.below[k]..self.below[k + 1] {
                x[self.l_row[p]] -= self.l[p] * v;
            }
        }
        x.iter_mut().zip(&self.d_inverse).for_each(|(v, d)| *v *= d);
        for k in (0..n).rev() {
            let mut v = x[k];
            for p in self.below[k]..self.below[k + 1] {
                v -= self.l[p] * x[self.l_row[p]];
            }
            x[k] = v;
        }
        self.place.iter().zip(b).for_each(|(new, v)| *v = x[*new]);
    }
}

impl Work {
    fn of(n: usize) -> Self {
        Self {
            y: vec![0.0; n],
            mark: vec![NONE; n],
            next: vec![0; n],
            pattern: Vec::with_capacity(n),
            path: Vec::with_capacity(n),
            rhs: vec![0.0; n],
        }
    }

    /// Appends the unmarked ancestors of `i` below `k`, root first, so that the whole pattern is read backwards.
    fn reach(&mut self, mut i: usize, k: usize, parent: &[usize]) {
        self.path.clear();
        while i != NONE && i < k && self.mark[i] != k {
            self.mark[i] = k;
            self.path.push(i);
            i = parent[i];
        }
        self.pattern.extend(self.path.drain(..).rev());
    }
}

/// Inverse of a pivot, or almost nothing where the row depends on earlier ones.
fn pivot(d: f64, diagonal: f64) -> f64 {
    let kept = d * diagonal > 0.0 && d.abs() > DEPENDENT * diagonal.abs();
    if kept { 1.0 / d } else { diagonal.signum() / LEFT_OUT }
}

/// An upper triangle by column.
struct Triangle {
    column: Vec<usize>,
    row: Vec<usize>,
}

/// The pattern with repeats merged, in the given order of rows, and the slot of each pair.
fn merged(n: usize, pairs: &[(u32, u32)]) -> (Triangle, Vec<u32>) {
    let key = |(i, j): &(u32, u32)| (u64::from(*i.max(j)) << 32) | u64::from(*i.min(j));
    let mut sorted: Vec<(u64, u32)> = pairs.iter().map(key).zip(0..).collect();
    sorted.sort_unstable();
    let (mut column, mut row) = (vec![0; n + 1], Vec::with_capacity(sorted.len()));
    let mut slots = vec![0; pairs.len()];
    let mut last = None;
    for (key, pair) in sorted {
        if last != Some(key) {
            last = Some(key);
            row.push((key & 0xffff_ffff) as usize);
            column[(key >> 32) as usize + 1] = row.len();
        }
        slots[pair as usize] = (row.len() - 1) as u32;
    }
    (0..n).for_each(|k| column[k + 1] = column[k + 1].max(column[k]));
    (Triangle { column, row }, slots)
}

/// New place of each row, by approximate minimum degree.
fn order(n: usize, pattern: &Triangle) -> Result<Vec<usize>, String> {
    let ordered = amd::order(n, &pattern.column, &pattern.row, &amd::Control::default());
    let (_, place, _) = ordered.map_err(|status| format!("ordering: {status:?}"))?;
    Ok(place)
}

/// The upper triangle after the rows were put in their places, and the new slot of each old one.
fn permuted(n: usize, old: &Triangle, place: &[usize]) -> (Triangle, Vec<u32>) {
    let at = |k: usize, p: usize| {
        let (a, b) = (place[k], place[old.row[p]]);
        (a.max(b), a.min(b))
    };
    let entries = || (0..n).flat_map(|k| (old.column[k]..old.column[k + 1]).map(move |p| (k, p)));
    let mut column = vec![0; n + 1];
    entries().for_each(|(k, p)| column[at(k, p).0 + 1] += 1);
    (0..n).for_each(|k| column[k + 1] += column[k]);
    let mut next = column.clone();
    let (mut row, mut slots) = (vec![0; old.row.len()], vec![0; old.row.len()]);
    for (k, p) in entries() {
        let (c, r) = at(k, p);
        (row[next[c]], slots[p]) = (r, next[c] as u32);
        next[c] += 1;
    }
    (Triangle { column, row }, slots)
}

/// Parent of each column and where its entries of `L` begin.
fn elimination_tree(n: usize, column: &[usize], row: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let (mut parent, mut mark, mut count) = (vec![NONE; n], vec![NONE; n], vec![0; n]);
    for k in 0..n {
        mark[k] = k;
        for p in &row[column[k]..column[k + 1]] {
            let mut i = *p;
            while mark[i] != k {
                if parent[i] == NONE {
                    parent[i] = k;
                }
                count[i] += 1;
                mark[i] = k;
                i = parent[i];
            }
        }
    }
    let mut below = vec![0; n + 1];
    (0..n).for_each(|k| below[k + 1] = below[k] + count[k]);
    (parent, below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quasi_definite_system_with_a_dense_border_is_solved() {
        // tridiagonal 4 and −1, and a border of ones with −2 in the corner
        let n = 30;
        let mut entries: Vec<((u32, u32), f64)> = (0..n).map(|i| ((i, i), 4.0)).collect();
        entries.extend((1..n).map(|i| ((i, i - 1), -1.0)));
        entries.extend((0..n).map(|i| ((i, n), 1.0)));
        entries.push(((n, n), -1.5));
        entries.push(((n, n), -0.5));
        let pairs: Vec<_> = entries.iter().map(|(pair, _)| *pair).collect();
        let (mut ldl, slots) = Ldl::analyse(n as usize + 1, &pairs).unwrap();
        for ((_, v), slot) in entries.iter().zip(&slots) {
            ldl.values[*slot as usize] += v;
        }
        ldl.factor();
        let want: Vec<f64> = (0..=n).map(|i| f64::from(i) - 7.0).collect();
        let mut b = vec![0.0; want.len()];
        for ((i, j), v) in &entries {
            let (i, j) = (*i as usize, *j as usize);
            b[i] += v * want[j];
            b[j] += if i == j { 0.0 } else { v * want[i] };
        }
        ldl.solve(&mut b);
        for (got, want) in b.iter().zip(&want) {
            assert!((got - want).abs() < 1e-9, "{got} {want}");
        }
        assert!(ldl.l.len() < 100, "no fill beyond the border: {}", ldl.l.len());
    }
}
