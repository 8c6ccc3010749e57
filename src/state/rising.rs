//! Energy counters as they are published: they only rise.
//!
//! A meter that restarts without its last decimals, is replaced, was reset or runs over at 32 bits shows a step that no
//! energy made. Whoever computes an increase from a counter (`increase()` in Prometheus takes every fall for a reset and
//! adds the whole counter) would count it, so the step is taken out: what is published goes on from where it stood.

use super::plausible;
use crate::model::{Counter, Quantity};
use crate::reading::Reading;
use crate::site::{Id, Plant};
use crate::time::Timestamp;
use crate::units::hours;
use chrono::TimeDelta;
use std::collections::BTreeMap;

/// A counter that falls by no more than this has been rounded; the highest value stands until it is passed, kWh.
const ROUNDING_KWH: f64 = 0.01;
/// A rise of this much is believed at any time: some devices update their counters by whole kWh, kWh.
const COARSE_KWH: f64 = 1.0;

/// The believed `reading` of `quantity` as it is published; other quantities are published as they are.
pub fn published(
    plant: &Plant,
    counters: &mut BTreeMap<String, Counter>,
    component: &Id,
    quantity: Quantity,
    reading: Reading<f64>,
) -> Reading<f64> {
    if !matches!(quantity, Quantity::EnergyImport | Quantity::EnergyExport) {
        return reading;
    }
    let Some(key) = plausible::key(component, quantity) else {
        return reading;
    };
    let Some(value) = reading.usable() else {
        let counter = counters.get(&key);
        return reading.map(|last| counter.map_or(last, |c| (last + c.taken_out).min(c.shown)));
    };
    let counter = counters.entry(key).or_insert(Counter {
        shown: value,
        taken_out: 0.0,
        rose_at: reading.at(),
    });
    let most_kw = plausible::power_range(plant, component).map_or(f64::INFINITY, |(low, high)| low.abs().max(high));
    advance(counter, value, reading.at(), most_kw);
    reading.map(|_| counter.shown)
}

/// Carries a counter on to what its device shows now. `most_kw` bounds what can have flowed since it last rose.
fn advance(counter: &mut Counter, value: f64, at: Timestamp, most_kw: f64) {
    let rise = value + counter.taken_out - counter.shown;
    let elapsed = hours((at - counter.rose_at).max(TimeDelta::zero()));
    if rise < -ROUNDING_KWH || rise > most_kw * elapsed + COARSE_KWH {
        counter.taken_out = counter.shown - value;
        counter.rose_at = at;
    } else if rise > 0.0 {
        counter.shown += rise;
        counter.rose_at = at;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Play, Row, right};
    use super::*;
    use crate::model::ControllerState;

    /// What a meter counts in the polls of one minute, kWh by second, and whether the controller restarts before it.
    struct Minute(bool, fn(f64) -> f64);

    fn minutes(shown: &[fn(f64) -> f64]) -> Vec<Minute> {
        shown.iter().map(|f| Minute(false, *f)).collect()
    }

    /// Plays the minutes and returns how much what was published rose, kWh. It must never fall.
    fn rise(name: &str, minutes: &[Minute]) -> f64 {
        let mut play = Play::new();
        let (mut t, mut first, mut last) = (0, None, 0.0);
        for Minute(restarts, shown) in minutes {
            if *restarts {
                let light = serde_json::to_string(&play.state.light()).unwrap();
                let fresh = ControllerState::fresh(&play.plant, play.start);
                play.state = fresh.overlay(serde_json::from_str(&light).unwrap());
            }
            for second in 0..60 {
                let import = shown(f64::from(second));
                let snapshot = play.step(
                    t,
                    Row {
                        import,
                        ..right(t, 1.0)
                    },
                );
                t += 1;
                let Some(kwh) = snapshot.usable(&Id::new("grid"), Quantity::EnergyImport) else {
                    continue;
                };
                let begin = *first.get_or_insert(kwh);
                assert!(kwh >= last, "{name}: {last} fell to {kwh} kWh in second {t}");
                last = kwh.max(begin);
            }
        }
        last - first.unwrap()
    }

    #[test]
    fn a_step_that_no_energy_made_is_taken_out_of_what_is_published() {
        let usual = |s: f64| 2000.7 + s / 6000.0;
        let rows: [(&str, Vec<Minute>, f64); 9] = [
            (
                "as it should be",
                minutes(&[usual, |s| 2000.71 + s / 6000.0]),
                0.01 + 59.0 / 6000.0,
            ),
            (
                "the fraction is lost",
                minutes(&[|_| 2000.7, |_| 2000.0, |_| 2000.2]),
                0.2,
            ),
            (
                "smaller than what is doubted",
                minutes(&[|s| 2000.7 - 0.005 * (s % 2.0), |_| 2000.8]),
                0.1,
            ),
            (
                "another meter, which counted less",
                minutes(&[|_| 2000.7, |_| 15.0, |_| 15.3]),
                0.3,
            ),
            (
                "another meter, which counted more",
                minutes(&[|_| 2000.7, |_| 45000.0, |_| 45000.3]),
                0.3,
            ),
            ("back to zero", minutes(&[|_| 2000.7, |_| 0.0, |_| 0.4]), 0.4),
            ("over at 32 bits", minutes(&[|_| 4_294_967.2, |_| 0.1, |_| 0.4]), 0.3),
            (
                "low for a minute",
                minutes(&[|_| 2000.7, |_| 1500.0, |_| 2000.7, |_| 2000.9]),
                0.2,
            ),
            (
                "over a restart",
                vec![
                    Minute(false, |_| 2000.7),
                    Minute(true, |_| 2000.0),
                    Minute(true, |_| 2000.2),
                ],
                0.2,
            ),
        ];
        for (name, minutes, expected) in rows {
            let rose = rise(name, &minutes);
            assert!(
                (rose - expected).abs() < 1e-6,
                "{name}: {rose} instead of {expected} kWh"
            );
        }
    }

    #[test]
    fn a_counter_that_is_updated_each_hour_is_no_leap() {
        let start = chrono::DateTime::UNIX_EPOCH;
        let mut counter = Counter {
            shown: 100.0,
            taken_out: 0.0,
            rose_at: start,
        };
        for minute in 0..=60 {
            let value = if minute < 60 { 100.0 } else { 107.5 };
            advance(&mut counter, value, start + TimeDelta::minutes(minute), 10.0);
        }
        assert_eq!((counter.shown, counter.taken_out), (107.5, 0.0));
    }
}
