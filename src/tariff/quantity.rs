//! Prices that depend on how much was imported: blocks of a billing month, and periods whose price holds for a quantity a day.

use super::{Block, DailyLimit, DayUse, ImportPrice, MonthUse, Tariff};
use crate::time::Timestamp;
use crate::units::{Energy, Money, Price};

/// Energy at one price: what is left of it (`None`: without end) and what a kWh costs before fees and tax.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    pub left: Option<Energy>,
    pub price: Price,
}

impl Tariff {
    /// The prices that follow each other at `t` as energy is imported, after what was used so far; empty where the price does
    /// not depend on the quantity.
    pub fn steps(&self, t: Timestamp, used: &MonthUse) -> Vec<Step> {
        match &self.import {
            ImportPrice::Blocks(blocks) => self.block_steps(blocks, t, used),
            ImportPrice::TimeOfUse(table) => {
                let row = self.row(table, t);
                row.and_then(|row| Some(self.daily_steps(row.price, row.limit?, t, used)))
                    .unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    fn block_steps(&self, blocks: &[Block], t: Timestamp, used: &MonthUse) -> Vec<Step> {
        let imported = match self.month_start(t) > used.month_start {
            true => Energy::ZERO,
            false => used.imported,
        };
        let month = self.month_of(t);
        let held = blocks.iter().filter(|b| b.months.contains(&month));
        let mut from = imported;
        held.filter(|b| b.up_to.is_none_or(|end| imported < end))
            .map(|b| {
                let left = b.up_to.map(|end| end - from);
                from = b.up_to.unwrap_or(from);
                Step { left, price: b.price }
            })
            .collect()
    }

    fn daily_steps(&self, price: Price, limit: DailyLimit, t: Timestamp, used: &MonthUse) -> Vec<Step> {
        let today = used.daily.filter(|d| d.day == self.date(t));
        let left = limit.up_to - today.map_or(Energy::ZERO, |d| d.imported);
        let first = (left > Energy::ZERO).then_some(Step {
            left: Some(left),
            price,
        });
        let last = Step {
            left: None,
            price: limit.beyond,
        };
        first.into_iter().chain([last]).collect()
    }

    /// Counts `energy` that was imported from `t` on.
    pub fn count(&self, used: &mut MonthUse, t: Timestamp, energy: Energy) {
        used.imported += energy;
        if self.period(t).is_none_or(|p| p.limit.is_none()) {
            return;
        }
        let day = self.date(t);
        let before = used.daily.filter(|d| d.day == day).map_or(Energy::ZERO, |d| d.imported);
        used.daily = Some(DayUse {
            day,
            imported: before + energy,
        });
    }
}

/// Cost of `energy` that crosses the steps in order; `all_in` is what a price comes to.
pub(super) fn cost(steps: &[Step], energy: Energy, all_in: impl Fn(Price) -> Price) -> Option<Money> {
    let (mut left, mut cost) = (energy, Money::ZERO);
    for step in steps {
        let part = step.left.map_or(left, |size| size.min(left));
        cost += part * all_in(step.price);
        left -= part;
    }
    (left <= Energy::ZERO).then_some(cost)
}
