//! Quarter-hour slots under a time grid.

use crate::model::SLOT_S;
use crate::time::{TimeGrid, Timestamp, floor_to};
use chrono::TimeDelta;

/// Consecutive slots that cover a grid.
pub struct Slots {
    pub start: Timestamp,
    pub count: usize,
}

impl Slots {
    pub fn covering(grid: &TimeGrid) -> Self {
        let start = floor_to(grid.start, TimeDelta::seconds(SLOT_S));
        let count = ((grid.end() - start).num_seconds() + SLOT_S - 1)
            .div_euclid(SLOT_S)
            .max(1) as usize;
        Self { start, count }
    }
    /// Start of slot `i`.
    pub fn at(&self, i: usize) -> Timestamp {
        self.start + TimeDelta::seconds(SLOT_S * i as i64)
    }
    /// Time-weighted means of slot values over the steps of `grid`.
    pub fn on_grid(&self, values: &[f64], grid: &TimeGrid) -> Vec<f64> {
        let mean = |from: Timestamp, to: Timestamp| {
            let (a, b) = ((from - self.start).as_seconds_f64(), (to - self.start).as_seconds_f64());
            let slot = SLOT_S as f64;
            let (first, last) = ((a / slot).floor().max(0.0) as usize, (b / slot).ceil() as usize);
            let (mut sum, mut weight) = (0.0, 0.0);
            for (i, v) in values.iter().enumerate().take(last).skip(first) {
                let overlap = (b.min((i + 1) as f64 * slot) - a.max(i as f64 * slot)).max(0.0);
                sum += v * overlap;
                weight += overlap;
            }
            if weight > 0.0 {
                sum / weight
            } else {
                values[values.len() - 1]
            }
        };
        grid.intervals().map(|i| mean(i.start, i.end)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_take_the_mean_of_the_slots_they_cover() {
        let t0 = chrono::DateTime::UNIX_EPOCH + TimeDelta::minutes(10);
        let grid = TimeGrid {
            start: t0,
            steps_s: vec![300, 900, 1800],
        };
        let slots = Slots::covering(&grid);
        assert_eq!(slots.count, 4);
        assert_eq!(slots.on_grid(&[1.0, 2.0, 3.0, 5.0], &grid), [1.0, 2.0, 4.0]);
    }
}
