//! The commitment, the one idea behind tariffs, peaks, caps and soft limits: a linear expression has a *baseline*, and a
//! deviation *above* or *below* it has a price.
//!
//! `baseline − below ≤ expression ≤ baseline + above`, `above, below ≥ 0`. What the deviation costs says what it is:
//!
//! | side | example |
//! |---|---|
//! | [`Side::Free`] | importing less than the subscribed power |
//! | [`Side::Money`] | below the reserve, above the subscribed power, colder than comfort |
//! | [`Side::Shared`] | demand charge: one deviation, the highest of all windows, is paid once |
//! | [`Side::Worth`] | a kWh at the end above what is worth most |
//! | [`Side::Word`] | short of what a person told a component |
//! | [`Side::Limit`], [`Side::Band`] | fuse, carbon cap, state of charge: hard, or in the elastic problem broken at a price |

use super::{Model, Slack};
use crate::plan::program::{Expr, RowId};

/// What a deviation to one side of the baseline costs.
#[derive(Debug, Clone)]
pub enum Side {
    Free,
    /// Money of the case for each unit of the expression; named in the result.
    Money(f64),
    /// The same, but no wish is missed: the price of a piece of a curve.
    Worth(f64),
    /// A deviation that is paid for elsewhere and shared with other commitments.
    Shared(Expr),
    /// No money of the case: the price of breaking what a person told, always elastic.
    Word(f64),
    /// Hard; in the elastic problem broken at the price of limits.
    Limit,
    /// Hard; in the elastic problem broken at the price of states outside their band.
    Band,
}

impl Side {
    /// Nothing to pay on this side.
    fn is_free(&self) -> bool {
        matches!(self, Self::Free) || matches!(self, Self::Money(price) | Self::Worth(price) if *price == 0.0)
    }
}

/// Who commits to what: the row's family, and how a deviation is named in the result.
#[derive(Debug, Clone, Copy)]
pub struct Commitment<'c> {
    pub family: &'static str,
    pub name: &'static str,
    pub component: &'c str,
    /// Amount in `unit`s per unit of the expression: hours for kW → kWh, 1 for kWh.
    pub weight: f64,
    pub unit: &'static str,
}

impl Model<'_> {
    /// Holds `expr` at `baseline`; no row and no column for a side that the bounds of the columns keep by themselves.
    pub fn commit(
        &mut self,
        c: Commitment<'_>,
        expr: &Expr,
        baseline: impl Into<Expr>,
        above: Side,
        below: Side,
    ) -> Option<RowId> {
        let baseline = baseline.into();
        let (low, high) = self.range_over(expr, &baseline);
        let (is_above, is_below) = (high > 0.0 && !above.is_free(), low < 0.0 && !below.is_free());
        if !is_above && !is_below {
            return None;
        }
        let over = expr.clone() - baseline;
        let above = is_above.then(|| self.deviation(c, &over, high, above));
        let below = is_below.then(|| self.deviation(c, &-over.clone(), -low, below));
        match (above, below) {
            (Some(above), Some(below)) => Some(self.program.equal(c.family, over - above + below, 0.0)),
            (Some(above), None) => Some(self.program.at_most(c.family, over - above, 0.0)),
            (None, Some(below)) => Some(self.program.at_most(c.family, -over - below, 0.0)),
            (None, None) => None,
        }
    }

    /// Column of a deviation, or nothing where none is possible.
    fn deviation(&mut self, c: Commitment<'_>, beyond: &Expr, reach: f64, side: Side) -> Expr {
        let (price, money) = match (side, self.elastic) {
            (Side::Shared(deviation), _) => return deviation,
            (Side::Worth(price), _) => {
                let var = self.program.at_step_of(beyond).var(0.0, reach);
                self.program.cost(price, var);
                return var.into();
            }
            (Side::Money(price), _) => (price / c.weight, true),
            (Side::Word(price), _) => (price, false),
            (Side::Limit, Some(elastic)) => (elastic.limit_per_kwh, false),
            (Side::Band, Some(elastic)) => (elastic.soc_per_kwh, false),
            (Side::Free | Side::Limit | Side::Band, _) => return Expr::default(),
        };
        let var = self.program.at_step_of(beyond).var(0.0, reach);
        self.slack(Slack {
            name: c.name,
            component: c.component.to_owned(),
            var,
            beyond: Some(beyond.clone()),
            unit: c.unit,
            weight: c.weight,
            price,
            money,
        });
        var.into()
    }

    /// Prices a slack and keeps its name.
    pub fn slack(&mut self, s: Slack) {
        let price = s.price * s.weight;
        if s.money {
            self.program.cost(price, s.var);
        } else {
            self.prefer(price, s.var);
        }
        self.slacks.push(s);
    }
}
