//! Cars come and go: a session begins at plug-in with what is assumed of it, and ends at unplug.

use crate::model::{ControllerState, PastSession, Quantity, Session, Snapshot, Trigger};
use crate::site::{ChargePoint, Id, Kind, Plant};
use crate::time::{Timestamp, local_instant};
use crate::units::{Energy, Power};

/// Sessions remembered per charge point.
const KEPT: usize = 200;

/// Follows every charge point; returns what is a reason to plan anew.
pub fn update(plant: &Plant, snapshot: &Snapshot, state: &mut ControllerState, now: Timestamp) -> Vec<Trigger> {
    let mut triggers = Vec::new();
    for (id, c) in &plant.components {
        let Kind::ChargePoint(point) = &c.kind else { continue };
        // Unknown is not unplugged: the session stays as it is.
        let Some(plugged) = snapshot.plugged(id) else { continue };
        match (plugged, state.sessions.contains_key(id)) {
            (true, false) => {
                state.sessions.insert(id.clone(), begin(plant, point, now));
                triggers.push(Trigger::CarPlugged);
            }
            (false, true) => {
                end(state, id, now);
                triggers.push(Trigger::CarGone);
            }
            _ => {}
        }
        let idle = state.takes_nothing(id);
        if let Some(session) = state.sessions.get_mut(id) {
            session.woke |= session.idle_since.is_some() && idle.is_none();
            session.idle_since = idle.map(|at| session.idle_since.unwrap_or(at));
            let drawn = drawn(plant, snapshot, id, session);
            session.delivered = drawn.map_or(session.delivered, |energy| energy * point.efficiency);
        }
    }
    triggers
}

/// Drawn from the mains since plug-in: what the charge point says of the session, else its counter's advance, else its
/// power summed by cycles. What it usually says and does not say now is waited for.
fn drawn(plant: &Plant, snapshot: &Snapshot, id: &Id, session: &mut Session) -> Option<Energy> {
    if snapshot.reading(id, Quantity::SessionEnergy).is_some() {
        let said = snapshot.session_energy(id)?;
        // Kept for a charge point that stops saying it: what the car has does not fall back to nothing.
        session.drawn = said;
        return Some(said);
    }
    let more = if snapshot.reading(id, Quantity::EnergyImport).is_some() {
        let counter = snapshot.usable(id, Quantity::EnergyImport).map(Energy::kwh)?;
        // a counter that went back was reset: it counts on from there
        let last = session.counter.replace(counter).unwrap_or(counter);
        (counter - last).max(Energy::ZERO)
    } else {
        snapshot.power(id)?.max(Power::ZERO) * plant.timing.cycle
    };
    session.drawn += more;
    Some(session.drawn)
}

fn begin(plant: &Plant, point: &ChargePoint, now: Timestamp) -> Session {
    let wish = &point.default_session;
    Session {
        since: now,
        departure: next_departure(plant, point, now),
        energy: wish.energy,
        mode: wish.mode,
        delivered: Energy::ZERO,
        drawn: Energy::ZERO,
        counter: None,
        told: false,
        idle_since: None,
        woke: false,
    }
}

/// The clock jumped: a departure that nobody told is assumed anew, by the right time of day.
pub fn step(plant: &Plant, state: &mut ControllerState, now: Timestamp) {
    for (id, session) in state.sessions.iter_mut().filter(|(_, s)| !s.told) {
        if let Some(Kind::ChargePoint(point)) = plant.components.get(id).map(|c| &c.kind) {
            session.departure = next_departure(plant, point, session.since.min(now));
        }
    }
}

/// The next local time of departure that leaves at least an hour.
fn next_departure(plant: &Plant, point: &ChargePoint, now: Timestamp) -> Timestamp {
    let tz = plant.location.time_zone;
    let today = now.with_timezone(&tz).date_naive();
    let days = today.iter_days().take(3);
    let mut times = days.map(|d| local_instant(tz, d.and_time(point.default_session.departure)));
    let soonest = now + chrono::TimeDelta::hours(1);
    times.find(|t| *t >= soonest).unwrap_or(soonest)
}

fn end(state: &mut ControllerState, id: &Id, now: Timestamp) {
    let Some(session) = state.sessions.remove(id) else {
        return;
    };
    let past = state.forecast.sessions.entry(id.clone()).or_default();
    past.push(PastSession {
        arrival: session.since,
        departure: now,
        energy_kwh: session.delivered.as_kwh(),
        woke: (session.woke || session.idle_since.is_some()).then_some(session.woke),
    });
    let surplus = past.len().saturating_sub(KEPT);
    past.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Reading;

    /// What the charge point says in each cycle of 10 s after plug-in, and what the car has of it at the end.
    fn check(said: &[&[(Quantity, f64)]], drawn_kwh: f64) {
        let mut plant = crate::site::builtin("home-amsterdam").unwrap().plant;
        plant.timing.cycle = chrono::TimeDelta::seconds(10);
        let (id, point) = plant
            .components
            .iter()
            .find_map(|(id, c)| match &c.kind {
                Kind::ChargePoint(p) => Some((id.clone(), p.clone())),
                _ => None,
            })
            .unwrap();
        let start = chrono::DateTime::UNIX_EPOCH;
        let mut state = ControllerState::fresh(&plant, start);
        for (k, values) in said.iter().enumerate() {
            let now = start + plant.timing.cycle * k as i32;
            let plugged = [(Quantity::ChargePointState, 2.0)];
            let readings = plugged.iter().chain(*values);
            let of_point = readings.map(|(q, v)| {
                (
                    *q,
                    if v.is_nan() {
                        Reading::missing(now)
                    } else {
                        Reading::good(*v, now)
                    },
                )
            });
            let snapshot = Snapshot {
                at: now,
                components: [(id.clone(), of_point.collect())].into(),
                grid: None,
                residual: None,
                rest: None,
                astray: None,
                devices: Vec::new(),
                doubts: Vec::new(),
            };
            update(&plant, &snapshot, &mut state, now);
        }
        let got = state.sessions[&id].delivered.as_kwh();
        assert!((got - drawn_kwh * point.efficiency).abs() < 1e-9, "{got} for {said:?}");
    }

    #[test]
    fn what_a_car_has_had_comes_from_the_best_source_there_is() {
        use Quantity::{ActivePower, EnergyImport, SessionEnergy};
        // the session's own count, whatever the others say
        check(
            &[
                &[(SessionEnergy, 1.0), (EnergyImport, 900.0)],
                &[(SessionEnergy, 1.5), (EnergyImport, 950.0)],
            ],
            1.5,
        );
        // it keeps silent for a cycle
        check(&[&[(SessionEnergy, 1.0)], &[(SessionEnergy, f64::NAN)]], 1.0);
        // it stops counting sessions: power goes on from there
        check(&[&[(SessionEnergy, 1.0)], &[(ActivePower, 36.0)]], 1.1);
        // the counter since plug-in; a lost reading loses nothing, a reset neither
        check(
            &[
                &[(EnergyImport, 900.0)],
                &[(EnergyImport, f64::NAN)],
                &[(EnergyImport, 902.0)],
            ],
            2.0,
        );
        check(
            &[
                &[(EnergyImport, 900.0)],
                &[(EnergyImport, 901.0)],
                &[(EnergyImport, 0.5)],
                &[(EnergyImport, 1.0)],
            ],
            1.5,
        );
        // power alone: 36 kW for three cycles of 10 s
        check(
            &[&[(ActivePower, 36.0)], &[(ActivePower, 36.0)], &[(ActivePower, 36.0)]],
            0.3,
        );
    }
}
