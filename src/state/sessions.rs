//! Cars come and go: a session begins at plug-in with what is assumed of it, and ends at unplug.

use crate::model::{ControllerState, PastSession, Quantity, Session, Snapshot, Trigger};
use crate::site::{ChargePoint, Component, Id, Kind, Plant};
use crate::time::{Timestamp, local_instant};
use crate::units::{Energy, Power};
use chrono::TimeDelta;

/// Sessions remembered per charge point.
const KEPT: usize = 200;
/// Shortest stay that is assumed, and the time to charge in full with a reserve for what is held back meanwhile.
const SHORTEST: TimeDelta = TimeDelta::hours(1);
const SPARE: f64 = 1.1;

/// Follows every charge point; returns what is a reason to plan anew.
pub fn update(plant: &Plant, snapshot: &Snapshot, state: &mut ControllerState, now: Timestamp) -> Vec<Trigger> {
    let mut triggers = Vec::new();
    for (id, c) in &plant.components {
        let Kind::ChargePoint(point) = &c.kind else { continue };
        // Unknown is not unplugged: the session stays as it is.
        let Some(plugged) = snapshot.plugged(id) else { continue };
        match (plugged, state.sessions.contains_key(id)) {
            (true, false) => {
                state.sessions.insert(id.clone(), begin(plant, (c, point), now));
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

fn begin(plant: &Plant, (component, point): (&Component, &ChargePoint), now: Timestamp) -> Session {
    let wish = &point.default_session;
    Session {
        since: now,
        departure: next_departure(plant, (component, point), now),
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
        let component = plant.components.get(id).map(|c| (c, &c.kind));
        if let Some((c, Kind::ChargePoint(point))) = component {
            session.departure = next_departure(plant, (c, point), session.since.min(now));
        }
    }
}

/// The next local time of departure. A car that comes shortly before it may stay for an hour or for a day, and nobody said
/// which: it leaves when it can have its energy.
fn next_departure(plant: &Plant, (component, point): (&Component, &ChargePoint), now: Timestamp) -> Timestamp {
    let tz = plant.location.time_zone;
    let today = now.with_timezone(&tz).date_naive();
    let days = today.iter_days().take(3);
    let mut times = days.map(|d| local_instant(tz, d.and_time(point.default_session.departure)));
    let full_kw = point.current_max.as_amps() * plant.kw_per_amp(component) * point.efficiency;
    let needed_h = SPARE * point.default_session.energy.as_kwh() / full_kw.max(1e-3);
    let soonest = now + SHORTEST.max(TimeDelta::seconds((needed_h.min(24.0) * 3600.0) as i64));
    times.find(|t| *t > now).map_or(soonest, |t| t.max(soonest))
}

fn end(state: &mut ControllerState, id: &Id, now: Timestamp) {
    let Some(session) = state.sessions.remove(id) else {
        return;
    };
    let past = state.forecast.sessions.entry(id.clone()).or_default();
    past.push(PastSession {
        arrival: session.since,
        departure: now,
        expected_departure: Some(session.departure),
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
        plant.timing.cycle = TimeDelta::seconds(10);
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

    /// A car of 14 kWh at 16 A on three phases, usual departure 07:30: when it is taken to leave, local time.
    #[test]
    fn a_car_that_comes_shortly_before_the_usual_departure_is_charged_at_once() {
        let plant = crate::site::builtin("home-amsterdam").unwrap().plant;
        let (c, mut point) = plant
            .components
            .values()
            .find_map(|c| match &c.kind {
                Kind::ChargePoint(p) => Some((c, p.clone())),
                _ => None,
            })
            .unwrap();
        point.default_session.departure = chrono::NaiveTime::from_hms_opt(7, 30, 0).unwrap();
        point.default_session.energy = Energy::kwh(14.0);
        let tz = plant.location.time_zone;
        for (arrives, leaves) in [
            ("2026-05-12T18:00", "2026-05-13T07:30"),
            ("2026-05-12T05:00", "2026-05-12T07:30"),
            ("2026-05-12T06:45", "2026-05-12T08:16"),
            ("2026-05-12T07:20", "2026-05-12T08:51"),
            // it came after the usual time: the next is tomorrow's
            ("2026-05-12T07:30", "2026-05-13T07:30"),
        ] {
            let local = |t: &str| chrono::NaiveDateTime::parse_from_str(t, "%Y-%m-%dT%H:%M").unwrap();
            let got = next_departure(&plant, (c, &point), local_instant(tz, local(arrives)));
            let late = got - local_instant(tz, local(leaves));
            assert!(
                late.abs() < TimeDelta::minutes(1),
                "{arrives}: {}",
                got.with_timezone(&tz)
            );
        }
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
