//! On and off as decisions: starts, stops, minimum times. Shared by generators, CHPs and deferrable loads; the rows carry
//! the name of the component's own family.

use super::Model;
use crate::plan::program::{Expr, Var};

/// A thing that is on or off in each step.
#[derive(Debug, Clone)]
pub struct Switched {
    pub on: Vec<Var>,
    pub start: Vec<Var>,
    pub stop: Vec<Var>,
    pub initial_on: bool,
    pub min_up_steps: usize,
    pub min_down_steps: usize,
}

/// Starts and stops to the given on/off columns.
pub fn variable_switching(m: &mut Model<'_>, on: Vec<Var>, initial_on: bool, min_steps: (usize, usize)) -> Switched {
    Switched {
        on,
        start: m.per_step(|_| 1.0),
        stop: m.per_step(|_| 1.0),
        initial_on,
        min_up_steps: min_steps.0.max(1),
        min_down_steps: min_steps.1.max(1),
    }
}

/// `on_t − on_{t−1} = start − stop`
pub fn rows_switching(m: &mut Model<'_>, family: &'static str, s: &Switched) {
    for t in m.steps() {
        let before: Expr = match t {
            0 => f64::from(u8::from(s.initial_on)).into(),
            _ => s.on[t - 1].into(),
        };
        m.program
            .equal(family, 1.0 * s.on[t] - before, 1.0 * s.start[t] - s.stop[t]);
    }
}

/// Sum of starts in the last `min_up` steps ≤ on; sum of stops in the last `min_down` ≤ 1 − on.
pub fn rows_minimum_times(m: &mut Model<'_>, family: &'static str, s: &Switched) {
    let recent = |v: &[Var], t: usize, n: usize| {
        v[(t + 1).saturating_sub(n)..=t]
            .iter()
            .fold(Expr::default(), |sum, v| sum + *v)
    };
    for t in m.steps() {
        let starts = recent(&s.start, t, s.min_up_steps);
        let stops = recent(&s.stop, t, s.min_down_steps);
        m.program.at_most(family, starts, s.on[t]);
        m.program.at_most(family, stops, Expr::from(1.0) - s.on[t]);
    }
}

impl Switched {
    /// The on/off path nearest to `wish` that keeps the minimum times and runs only where `may`: a start is taken only
    /// where it can last, a stop only where it may.
    pub fn nearest_path(&self, wish: &[bool], may: &[bool]) -> Vec<bool> {
        Self::nearest(self.initial_on, (self.min_up_steps, self.min_down_steps), wish, may)
    }

    /// The same from an initial state and minimum steps up and down.
    pub fn nearest(initial_on: bool, (up, down): (usize, usize), wish: &[bool], may: &[bool]) -> Vec<bool> {
        let (mut on, mut hold) = (initial_on, 0);
        let steps = wish.len();
        let can_last = |t: usize| may[t..steps.min(t + up)].iter().all(|m| *m);
        let mut path = Vec::with_capacity(steps);
        for t in 0..steps {
            let change = if on {
                !may[t] || (!wish[t] && hold == 0)
            } else {
                wish[t] && hold == 0 && can_last(t)
            };
            if change {
                on = !on;
                hold = if on { up } else { down };
            }
            hold = hold.saturating_sub(1);
            path.push(on);
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_path_keeps_minimum_times_and_the_window() {
        let s = Switched {
            on: Vec::new(),
            start: Vec::new(),
            stop: Vec::new(),
            initial_on: false,
            min_up_steps: 2,
            min_down_steps: 2,
        };
        let path = |wish: &str, may: &str| -> String {
            let bools = |text: &str| text.chars().map(|c| c == '1').collect::<Vec<_>>();
            let path = s.nearest_path(&bools(wish), &bools(may));
            path.iter().map(|on| if *on { '1' } else { '0' }).collect()
        };
        for (wish, may, want) in [
            ("010000", "111111", "011000"),
            ("010110", "111111", "011110"),
            ("000010", "111110", "000000"),
            ("000001", "111111", "000001"),
            ("111111", "111000", "111000"),
        ] {
            assert_eq!(path(wish, may), want, "{wish} in {may}");
        }
    }
}
