//! Things that are on or off: whole numbers, power while on, minimum times.

use super::ledger::Ledger;

/// Minimum times and the state before step 0.
#[derive(Clone, Copy)]
pub struct Times {
    pub initial_on: bool,
    pub up: usize,
    pub down: usize,
}

/// On is 0 or 1, and the power lies between least and most while on, at nothing while off.
pub fn range(l: &mut Ledger<'_>, id: &str, on: &[f64], kw: &[f64], range: (f64, f64)) {
    for (t, (on, kw)) in on.iter().zip(kw).enumerate() {
        l.excess("is neither on nor off", id, t, on.abs().min((on - 1.0).abs()));
        let (least, most) = if *on > 0.5 { range } else { (0.0, 0.0) };
        l.excess("outside its range", id, t, (kw - most).max(least - kw));
    }
}

/// Once on, on for `up` steps; once off, off for `down`; cut at the end of the horizon.
pub fn times(l: &mut Ledger<'_>, id: &str, on: &[f64], times: Times) {
    let mut before = times.initial_on;
    for t in 0..on.len() {
        let now = on[t] > 0.5;
        if now != before {
            let hold = if now { times.up } else { times.down };
            let soon = on.iter().skip(t).take(hold.max(1)).any(|o| (*o > 0.5) != now);
            l.excess("switches back too soon", id, t, f64::from(u8::from(soon)));
        }
        before = now;
    }
}
