//! Charging sessions: cars that are here now, with what they still need.

use crate::model::{ControllerState, ExpectedSession, LEFT_EARLY, PastSession};
use crate::site::{Id, Kind, Plant};
use crate::time::{TimeGrid, Timestamp};
use std::collections::BTreeMap;

/// Sessions by charge point, those now plugged in. Cars that may come are not planned for: their energy is not promised.
pub fn forecast(
    plant: &Plant,
    state: &ControllerState,
    grid: &TimeGrid,
    now: Timestamp,
) -> BTreeMap<Id, Vec<ExpectedSession>> {
    let mut all = BTreeMap::new();
    for (id, c) in &plant.components {
        let Kind::ChargePoint(_) = &c.kind else { continue };
        let Some(s) = state.sessions.get(id) else { continue };
        let missing = s.missing().as_kwh();
        let past = state.forecast.sessions.get(id).map_or(&[][..], Vec::as_slice);
        let idle = s.idle_since.is_some();
        let energy_kwh = if idle { missing * wakes(past) } else { missing };
        if energy_kwh > 0.0 && s.departure > now && s.departure > grid.start {
            let session = ExpectedSession {
                // A car that takes nothing may wake at any time. Half of the time that is left is the mean, and what is
                // reserved there does not push cars that charge now towards their departure.
                arrival: if idle { now + (s.departure - now) / 2 } else { s.since },
                departure: s.departure,
                energy_kwh,
                expected: idle,
                leaves_early: leaves_early(past),
            };
            all.insert(id.clone(), vec![session]);
        }
    }
    all
}

/// Refusals assumed before any was seen, and how many of those cars woke: most cars that take nothing are full.
const ASSUMED: f64 = 2.0;
const ASSUMED_WOKEN: f64 = 0.5;

/// Probability that a car that takes nothing takes power again before it leaves, from the refusals seen at its charge point
/// (mean of a beta distribution with the assumed refusals as prior).
fn wakes(past: &[PastSession]) -> f64 {
    let seen: Vec<bool> = past.iter().filter_map(|s| s.woke).collect();
    let woken = seen.iter().filter(|woke| **woke).count() as f64;
    (woken + ASSUMED_WOKEN) / (seen.len() as f64 + ASSUMED)
}

/// Stays assumed before any was seen, and how many of those cars left early.
const STAYS: f64 = 20.0;
const OF_THEM_EARLY: f64 = 1.0;

/// Probability that a car leaves before its time, from the stays seen at its charge point (as in [`wakes`]).
fn leaves_early(past: &[PastSession]) -> f64 {
    let early = |s: &PastSession| Some(s.expected_departure? - s.departure > LEFT_EARLY);
    let seen: Vec<bool> = past.iter().filter_map(early).collect();
    let left = seen.iter().filter(|early| **early).count() as f64;
    (left + OF_THEM_EARLY) / (seen.len() as f64 + STAYS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Session;
    use crate::site::builtin;
    use crate::units::Energy;
    use chrono::TimeDelta;

    /// Energy planned for a car that misses 10 kWh, kWh.
    fn check(idle: bool, woke: &[Option<bool>], planned_kwh: f64) {
        let plant = builtin("home-amsterdam").unwrap().plant;
        let now = chrono::DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let mut state = ControllerState::fresh(&plant, now);
        let session = Session {
            since: now - TimeDelta::hours(2),
            departure: now + TimeDelta::hours(9),
            energy: Energy::kwh(14.0),
            mode: crate::site::EvMode::Cheapest,
            delivered: Energy::kwh(4.0),
            drawn: Energy::kwh(4.4),
            counter: None,
            told: false,
            idle_since: idle.then_some(now),
            woke: false,
        };
        state.sessions.insert("ev".into(), session);
        let past = |woke: &Option<bool>| PastSession {
            arrival: now - TimeDelta::days(3),
            departure: now - TimeDelta::days(2),
            expected_departure: None,
            energy_kwh: 4.0,
            woke: *woke,
        };
        state
            .forecast
            .sessions
            .insert("ev".into(), woke.iter().map(past).collect());
        let grid = TimeGrid::uniform(now, TimeDelta::minutes(15), 96);
        let all = forecast(&plant, &state, &grid, now);
        let got = all[&Id::new("ev")][0].energy_kwh;
        assert!(
            (got - planned_kwh).abs() < 1e-9,
            "{got} kWh, idle {idle}, past {woke:?}"
        );
    }

    #[test]
    fn how_often_cars_left_before_their_time_is_learned() {
        let stay = |early_min: Option<i64>| {
            let departure = chrono::DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
            PastSession {
                arrival: departure - TimeDelta::hours(10),
                departure,
                expected_departure: early_min.map(|m| departure + TimeDelta::minutes(m)),
                energy_kwh: 4.0,
                woke: None,
            }
        };
        let check = |stays: &[Option<i64>], expected: f64| {
            let past: Vec<PastSession> = stays.iter().map(|m| stay(*m)).collect();
            let got = leaves_early(&past);
            assert!((got - expected).abs() < 1e-9, "{got} after {stays:?}");
        };
        check(&[], 0.05);
        // stays of an earlier version say nothing
        check(&[None; 30], 0.05);
        // a few minutes are no early leave, and a late one neither
        check(&[Some(5); 20], 1.0 / 40.0);
        check(&[Some(-90); 20], 1.0 / 40.0);
        check(&[Some(90); 20], 21.0 / 40.0);
    }

    #[test]
    fn what_a_car_may_still_take_is_weighed_by_how_often_such_cars_woke() {
        check(false, &[], 10.0);
        check(true, &[], 2.5);
        // cars that never refused say nothing
        check(true, &[None, None], 2.5);
        check(true, &[Some(false); 8], 0.5);
        check(true, &[Some(true); 8], 8.5);
    }
}
