//! A lasting change of a load's level: a house that nobody is in, a machine that is gone. Two days far from the usual ones
//! move the forecast to the new level, and it goes back as fast.
//!
//! Days are counted back from now. The level of a day is its energy against what a profile expects of it; a change lasts if
//! two days in a row lie beyond the usual difference from day to day, on the same side.

use super::load::{HALF_LIFE_D, Seen, Table, learn};

/// A day counts if this many of its slots were measured.
const MEASURED: usize = 72;
/// Days that must be known before any of them is called unusual.
const ENOUGH_DAYS: usize = 7;
/// Beyond so many usual differences a level is another one, and never below e^0.4, 1.5 times (fitted with the three below
/// on thirteen measured series, 54 days each: no series got worse by more than 1.2 %, all together better by 1.6 %).
const DIFFERENCES: f64 = 2.5;
const LEAST: f64 = 0.4;
/// A change this much beyond the bound is followed in full, as a share of the bound.
const FADE_IN: f64 = 0.5;
/// Share of a usual day's energy added on both sides, so that days on which little is expected are not called unusual.
const DAMPING: f64 = 0.3;
/// A median of absolute deviations is this much smaller than a standard deviation.
const SIGMA: f64 = 1.48;

/// The profile of the days that are like the last two; and whether that is another than the usual one.
pub(super) fn profile(seen: &[&Seen], prior: &Table) -> (Table, bool) {
    let all = learn(seen, prior, |_| true);
    let levels = logs(seen, &all);
    if levels.iter().flatten().count() < ENOUGH_DAYS {
        return (all, false);
    }
    let bound = bound(&levels);
    let middle = weighted_median(levels.iter().enumerate().filter_map(|(day, l)| Some((day, (*l)?))));
    let sides: Vec<i8> = levels.iter().map(|l| side(l.map(|l| l - middle), bound)).collect();
    let usual = learn(seen, prior, |s| !is_episode(&sides, s.day()));
    let levels = logs(seen, &usual);
    match changed(&levels, bound) {
        Some((last, share)) => {
            let factor = (share * ratio_of_last(seen, &usual).ln()).exp();
            let scaled = usual.map(|day| day.map(|kw| kw * factor));
            let like = |s: &Seen| level(&levels, s.day()).is_some_and(|l| (l - last).abs() < bound);
            (learn(seen, &scaled, like), true)
        }
        None => (usual, false),
    }
}

/// Level of the last day and how much of the change is followed, where the last two days lie beyond the bound.
fn changed(levels: &[Option<f64>], bound: f64) -> Option<(f64, f64)> {
    let (last, before) = (level(levels, 0)?, level(levels, 1)?);
    let lasts = side(Some(last), bound) != 0 && side(Some(last), bound) == side(Some(before), bound);
    lasts.then(|| (last, ((last.abs() - bound) / (FADE_IN * bound)).clamp(0.0, 1.0)))
}

fn level(levels: &[Option<f64>], day: usize) -> Option<f64> {
    levels.get(day).copied().flatten()
}

fn side(level: Option<f64>, bound: f64) -> i8 {
    level
        .filter(|l| l.abs() > bound)
        .map_or(0, |l| if l > 0.0 { 1 } else { -1 })
}

/// A day that lies beyond the bound together with the one before or after it.
fn is_episode(sides: &[i8], day: usize) -> bool {
    let at = |d: usize| sides.get(d).copied().unwrap_or(0);
    at(day) != 0 && (at(day + 1) == at(day) || (day > 0 && at(day - 1) == at(day)))
}

/// What a level may differ from one day to the next.
fn bound(levels: &[Option<f64>]) -> f64 {
    let pairs = levels.iter().zip(levels.iter().skip(1)).enumerate();
    let steps = pairs.filter_map(|(day, (a, b))| Some((day, ((*a)? - (*b)?).abs())));
    (DIFFERENCES * SIGMA * weighted_median(steps)).max(LEAST)
}

/// Logarithms of the damped levels by day back from now; `None` where too little was measured.
fn logs(seen: &[&Seen], table: &Table) -> Vec<Option<f64>> {
    let [work, saturday, sunday] = table.map(|day| day.iter().sum::<f64>());
    let extra = DAMPING * (5.0 * work + saturday + sunday) / 7.0;
    let ratio = |(drawn, expected): (f64, f64)| ((drawn + extra) / (expected + extra)).max(0.01).ln();
    days(seen, table).into_iter().map(|d| d.map(ratio)).collect()
}

fn ratio_of_last(seen: &[&Seen], table: &Table) -> f64 {
    let last = days(seen, table).into_iter().next().flatten();
    last.map_or(1.0, |(drawn, expected)| (drawn / expected).max(0.01))
}

/// Drawn and expected by day back from now, sums of kW over slots; `None` where too little was measured or expected.
fn days(seen: &[&Seen], table: &Table) -> Vec<Option<(f64, f64)>> {
    let mut sums: Vec<(f64, f64, usize)> = Vec::new();
    for s in seen {
        let day = s.day();
        if day >= sums.len() {
            sums.resize(day + 1, (0.0, 0.0, 0));
        }
        if let Some((drawn, expected, n)) = sums.get_mut(day) {
            (*drawn, *expected, *n) = (*drawn + s.kw, *expected + s.of(table), *n + 1);
        }
    }
    let whole =
        |(drawn, expected, n): (f64, f64, usize)| (n >= MEASURED && expected > 0.0).then_some((drawn, expected));
    sums.into_iter().map(whole).collect()
}

/// Median of values by day back from now, the older the lighter; 0 of none.
fn weighted_median(values: impl Iterator<Item = (usize, f64)>) -> f64 {
    let weighted = values.map(|(day, v)| (v, 0.5f64.powf(day as f64 / HALF_LIFE_D)));
    let mut sorted: Vec<(f64, f64)> = weighted.collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = sorted.iter().map(|(_, w)| w).sum::<f64>() / 2.0;
    let mut below = 0.0;
    let middle = sorted.iter().find(|(_, w)| {
        below += w;
        below >= half
    });
    middle.map_or(0.0, |(v, _)| *v)
}
