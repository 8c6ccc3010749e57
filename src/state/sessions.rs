//! Cars come and go: a session begins at plug-in with what is assumed of it, and ends at unplug.

use crate::model::{ControllerState, PastSession, Session, Snapshot, Trigger};
use crate::site::{ChargePoint, Id, Kind, Plant};
use crate::time::{Timestamp, local_instant};
use crate::units::Energy;

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
        if let (Some(session), Some(energy)) = (state.sessions.get_mut(id), snapshot.session_energy(id)) {
            session.delivered = energy * point.efficiency;
        }
    }
    triggers
}

fn begin(plant: &Plant, point: &ChargePoint, now: Timestamp) -> Session {
    let wish = &point.default_session;
    Session {
        since: now,
        departure: next_departure(plant, point, now),
        energy: wish.energy,
        mode: wish.mode,
        delivered: Energy::ZERO,
        told: false,
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
    });
    let surplus = past.len().saturating_sub(KEPT);
    past.drain(..surplus);
}
