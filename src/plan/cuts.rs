//! Rows that whole numbers keep and their relaxation breaks: with them the relaxation promises less, and the search is short.
//!
//! A flow `v` that needs its switch (`v = 0` where `ζ = 0`) times any row it is in: `Σ a·w ≤ b` gives `a_v·v + Σ a·(w·ζ) ≤ b·ζ`,
//! and each product `w·ζ` lies between its two linear bounds (McCormick, *Math. Programming* 10, 1976; the product of rows and
//! bounds is Sherali and Adams', *SIAM J. Discrete Math.* 3, 1990). A generator that half runs then gives no more than half of
//! what the site needs beyond what it buys, and a meter that half imports no more than half of the peak already paid.

use super::formulation::{Model, Pair};
use super::program::{Expr, Program, Row, Sense, Var};

const FAMILY: &str = "cut";
/// A row that is broken by less, in its own unit, is not worth its place.
const BROKEN: f64 = 1e-2;
/// Rows over more columns than this couple the whole horizon; a product with one step's switch says little there.
const LONG: usize = 40;

/// `v` may flow only where `z` is one (`when`) or zero.
#[derive(Debug, Clone, Copy)]
pub struct Gated {
    v: Var,
    z: Var,
    when: bool,
}

/// Both flows of a pair that is held apart by `z`.
pub fn of_pair(pair: &Pair, z: Var) -> [Gated; 2] {
    let gated = |v, when| Gated { v, z, when };
    [gated(pair.a, true), gated(pair.b, false)]
}

/// Powers of generators that run or not.
pub fn of_gensets(model: &Model<'_>) -> impl Iterator<Item = Gated> {
    let switched = model.gensets.iter().flat_map(|g| g.power.iter().zip(&g.on));
    switched.map(|(v, z)| Gated {
        v: *v,
        z: *z,
        when: true,
    })
}

/// The rows that `x` breaks, of all that follow from the program's own rows and what is gated.
pub fn broken(program: &Program, gated: &[Gated], x: &[f64]) -> Vec<Row> {
    let mut gates = vec![Vec::new(); program.cost.len()];
    for g in gated.iter().filter(|g| program.high[g.z.0] > program.low[g.z.0]) {
        gates[g.v.0].push(*g);
    }
    let own = |r: &&Row| r.terms.len() <= LONG && r.family != FAMILY;
    let mut rows = Vec::new();
    for row in program.rows.iter().filter(own) {
        for g in row.terms.iter().flat_map(|(v, _)| &gates[v.0]) {
            // rows of flow and switch alone say nothing new
            if row.terms.iter().all(|(w, _)| *w != g.z) {
                rows.extend(products(program, row, g, x));
            }
        }
    }
    rows
}

/// The row times the switch, as it stands and (an equality) the other way round; those that are broken.
fn products(program: &Program, row: &Row, g: &Gated, x: &[f64]) -> Vec<Row> {
    let back = (row.sense == Sense::Equal).then_some(-1.0);
    let signs = std::iter::once(1.0).chain(back);
    signs.filter_map(|sign| product(program, row, sign, g, x)).collect()
}

fn product(program: &Program, row: &Row, sign: f64, g: &Gated, x: &[f64]) -> Option<Row> {
    // ζ = z or 1 − z
    let zeta = match g.when {
        true => Expr::from(g.z),
        false => Expr::from(1.0) - g.z,
    };
    let at = |e: &Expr| e.constant + e.terms.iter().map(|(v, k)| k * x[v.0]).sum::<f64>();
    let mut left = -(sign * row.rhs) * &zeta;
    for (w, a) in &row.terms {
        let a = sign * a;
        if *w == g.v {
            left += a * *w;
            continue;
        }
        let (low, high) = (program.low[w.0], program.high[w.0]);
        // both are w where ζ is one and nothing where it is zero, at one end of w's range
        let of_bound = |bound: f64| bound * &zeta;
        let of_column = |bound: f64| 1.0 * *w + bound * &zeta - bound;
        let (one, other) = match a > 0.0 {
            true => (of_bound(low), of_column(high)),
            false => (of_bound(high), of_column(low)),
        };
        left += if a * at(&one) >= a * at(&other) {
            a * &one
        } else {
            a * &other
        };
    }
    (at(&left) > BROKEN).then(|| Row::of(FAMILY, left, Sense::AtMost))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::formulation::formulate;
    use crate::plan::search::constraint_pair_exclusive;
    use crate::plan::solver::{Effort, with_interior, with_microlp};

    #[test]
    fn added_rows_are_kept_by_the_best_whole_plan_and_raise_the_bound_towards_it() {
        for text in [
            include_str!("../../solver-tests/cases/p06_tiny_genset_commitment.json"),
            include_str!("../../solver-tests/cases/p12_site_milp.json"),
            include_str!("../../solver-tests/cases/p13_home_feed_in_milp.json"),
        ] {
            let p = crate::plan::read_case(text).unwrap();
            let model = formulate(&p, p.elastic);
            let mut program = model.program.clone();
            let mut gated: Vec<Gated> = of_gensets(&model).collect();
            for pair in model.pairs.iter().filter(|p| p.needed) {
                let z = constraint_pair_exclusive(&mut program, pair);
                gated.extend(of_pair(pair, z));
            }
            let effort = Effort {
                gap: 1e-6,
                nodes: None,
                time: None,
            };
            let whole = with_microlp(&program, effort, None).unwrap();
            let whole = with_interior(&program.fixed_at(&whole.x)).unwrap();
            let relaxed = with_interior(&program.relaxed()).unwrap();
            let rows = broken(&program, &gated, &relaxed.x);
            assert!(!rows.is_empty(), "{}", p.id);
            std::rc::Rc::make_mut(&mut program.rows).extend(rows);
            let (residual, family) = program.residual(&whole.x);
            assert!(residual < 1e-6, "{}: {family} {residual}", p.id);
            let bound = with_interior(&program.relaxed()).unwrap().objective;
            let (low, high) = (relaxed.objective, whole.objective);
            assert!(
                low + 1e-6 < bound && bound < high + 1e-6,
                "{}: {low} {bound} {high}",
                p.id
            );
        }
    }
}
