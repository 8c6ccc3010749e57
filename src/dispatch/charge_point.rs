//! Charge points: what each car wants in this cycle, by session mode and by who leads. Who gets it is `allocate`'s part.

use super::rule;
use super::view::{Lead, View};
use crate::model::{ControllerState, Reason, ReasonCode, Session};
use crate::site::{ChargePoint, Component, EvMode, Id};
use crate::time::Timestamp;
use crate::units::hours;
use chrono::TimeDelta;
use std::collections::BTreeMap;

/// Pauses and charging last at least this long unless a limit or a departure forces them.
pub const MIN_ON: TimeDelta = TimeDelta::minutes(5);
pub const MIN_OFF: TimeDelta = TimeDelta::minutes(5);
/// Spare of the guard that charges at full power when time becomes short.
pub const SPARE: f64 = 1.1;
pub const SPARE_H: f64 = 0.05;

/// A car's wish for this cycle.
#[derive(Debug, Clone, PartialEq)]
pub struct Want {
    pub id: Id,
    /// kW of one ampere.
    pub kw_per_amp: f64,
    /// Smallest power at which it charges at all, largest it can take, and what it wants now.
    pub min_kw: f64,
    pub max_kw: f64,
    pub kw: f64,
    /// Must have it now; comes before everybody else and before the demand target.
    pub must: bool,
    /// Takes nothing of what is on offer: gets what nobody else wants.
    pub spare: bool,
    pub departure: Timestamp,
    pub reason: Reason,
}

/// Surplus that a car may take, kW: before and after the batteries.
#[derive(Debug, Clone, Copy)]
pub struct Surplus {
    pub before_storage: f64,
    pub after_storage: f64,
    /// Worth of a kWh AC to the batteries.
    pub storage_worth: Option<f64>,
}

/// `pressed`: the cars behind its fuse are short together.
pub fn want(
    view: &View<'_>,
    (id, component, point): (&Id, &Component, &ChargePoint),
    pressed: bool,
    surplus: Surplus,
    marks: &mut BTreeMap<String, (Timestamp, f64)>,
) -> Want {
    let kw_per_amp = view.kw_per_amp(component);
    let mut want = Want {
        id: id.clone(),
        kw_per_amp,
        min_kw: point.current_min.as_amps() * kw_per_amp,
        max_kw: point.current_max.as_amps() * kw_per_amp,
        kw: 0.0,
        must: false,
        spare: false,
        departure: view.now + TimeDelta::days(365),
        reason: Reason::new(ReasonCode::NoCar),
    };
    let Some(session) = view.state.sessions.get(id) else {
        return want;
    };
    want.departure = session.departure;
    let missing = session.missing().as_kwh();
    if missing <= 0.0 {
        want.reason = Reason::new(ReasonCode::ChargeDone);
        return want;
    }
    if takes_nothing(view, id, marks) {
        want.kw = want.min_kw;
        want.spare = true;
        want.reason = Reason::new(ReasonCode::CarTakesNothing);
        return want;
    }
    let (kw, reason) = by_mode(view, point, session, missing, &want, surplus, marks);
    want.kw = kw;
    let short = pressed || is_short(view, point, session, missing, want.max_kw);
    want.must = session.mode != EvMode::Surplus && short;
    want.reason = reason;
    if want.must && view.lead() != Lead::Idle {
        want.kw = want.max_kw;
        want.reason = Reason::new(ReasonCode::MustChargeNow);
    }
    hold_on(view, &mut want);
    want
}

/// A car that took nothing is asked again after this long, where others had its share meanwhile.
const ASK_AGAIN: TimeDelta = TimeDelta::minutes(15);
/// Less than this is nothing, kW; one look proves nothing.
const NOTHING: f64 = 0.1;
const FULL_AFTER: TimeDelta = TimeDelta::seconds(30);

/// Offered for a while, and not taken: the car is full or asleep. The minimum stays on offer as long as nobody else wants it;
/// then the car is asked again now and then.
fn takes_nothing(view: &View<'_>, id: &Id, marks: &mut BTreeMap<String, (Timestamp, f64)>) -> bool {
    let (idle, full) = (format!("idle/{id}"), ControllerState::full_mark(id));
    let session = view.state.sessions.get(id).map(|s| s.since);
    let standing = |name: &str| {
        let known = view
            .mark(name)
            .filter(|(at, yes)| *yes > 0.0 && session.is_none_or(|since| since <= *at));
        known.map(|(at, _)| at)
    };
    let (on, since) = view.on_since(id);
    if view.power(id).is_some_and(|kw| kw >= NOTHING) {
        for name in [idle, full].into_iter().filter(|n| standing(n).is_some()) {
            marks.insert(name, (view.now, 0.0));
        }
        return false;
    }
    let asked = on && view.power(id).is_some();
    if asked && standing(&idle).is_none() {
        marks.insert(idle.clone(), (view.now, 1.0));
    }
    let known = standing(&full);
    let for_long = standing(&idle).is_some_and(|at| view.now - at >= FULL_AFTER.max(view.cycle() * 3));
    if asked && for_long && since > TimeDelta::minutes(2).max(view.cycle() * 4) {
        if known.is_none_or(|at| view.now - at >= TimeDelta::minutes(1)) {
            marks.insert(full, (view.now, 1.0));
        }
        return true;
    }
    known.is_some_and(|at| view.now - at < ASK_AGAIN)
}

/// The remaining time is barely enough at full power.
fn is_short(view: &View<'_>, point: &ChargePoint, session: &Session, missing: f64, max_kw: f64) -> bool {
    let needed = missing / (point.efficiency * max_kw).max(1e-6);
    hours(session.departure - view.now) <= needed * SPARE + SPARE_H
}

fn by_mode(
    view: &View<'_>,
    point: &ChargePoint,
    session: &Session,
    missing: f64,
    want: &Want,
    surplus: Surplus,
    marks: &mut BTreeMap<String, (Timestamp, f64)>,
) -> (f64, Reason) {
    let reason = Reason::new;
    match (view.lead(), session.mode) {
        (Lead::Idle, _) => (want.max_kw, reason(ReasonCode::PolicyIdle)),
        (_, EvMode::Fast) => (want.max_kw, reason(ReasonCode::ChargeFast)),
        (_, EvMode::Surplus) => (
            from_surplus(view, want, surplus.before_storage),
            reason(ReasonCode::ChargeSurplus),
        ),
        (Lead::Rule, EvMode::Cheapest) => match rule::cheap_now(view, point, session, missing, want.max_kw) {
            true => (want.max_kw, reason(ReasonCode::ChargeCheap)),
            false => (0.0, reason(ReasonCode::WaitCheaper)),
        },
        (Lead::Plan, EvMode::Cheapest) => planned(view, point, session, want, surplus, marks),
    }
}

/// Surplus power if it is enough to charge at all, with some patience once the car charges.
fn from_surplus(view: &View<'_>, want: &Want, surplus: f64) -> f64 {
    let (on, _) = view.on_since(&want.id);
    let enough = if on { 0.75 * want.min_kw } else { 1.05 * want.min_kw };
    if surplus >= enough {
        surplus.clamp(want.min_kw, want.max_kw)
    } else {
        0.0
    }
}

/// The plan's energy of this step, at or above the smallest current; surplus on top where the car values it most.
fn planned(
    view: &View<'_>,
    point: &ChargePoint,
    session: &Session,
    want: &Want,
    surplus: Surplus,
    marks: &mut BTreeMap<String, (Timestamp, f64)>,
) -> (f64, Reason) {
    let follow = follow_plan(view, point, session, want, marks);
    let worth = view.worth(&want.id).map(|w| w * point.efficiency);
    let sell = view.sell();
    let first = worth.zip(surplus.storage_worth).is_none_or(|(car, store)| car > store);
    let free = if first {
        surplus.before_storage
    } else {
        surplus.after_storage
    };
    let valued = worth.zip(sell).is_some_and(|(w, s)| w > s);
    let extra = if valued { from_surplus(view, want, free) } else { 0.0 };
    if extra > follow {
        return (extra, Reason::new(ReasonCode::ChargeSurplus).worth(worth, sell));
    }
    let code = if follow > 0.0 {
        ReasonCode::FollowPlan
    } else {
        ReasonCode::WaitCheaper
    };
    (follow, Reason::new(code).worth(worth, view.buy()))
}

/// Power that brings the car the rest of what the plan gives it in this step; below the smallest current it charges at
/// that until the energy is there, and then pauses.
fn follow_plan(
    view: &View<'_>,
    point: &ChargePoint,
    session: &Session,
    want: &Want,
    marks: &mut BTreeMap<String, (Timestamp, f64)>,
) -> f64 {
    let (Some(step), Some(planned)) = (view.step(), view.planned_kw(&want.id)) else {
        return 0.0;
    };
    let name = format!("step/{}", want.id);
    let delivered = session.delivered.as_kwh();
    let start = match view.mark(&name) {
        Some((at, kwh)) if at == step.start && kwh <= delivered => kwh,
        _ => delivered,
    };
    marks.insert(name, (step.start, start));
    let due = planned.max(0.0) * hours(step.end - step.start) * point.efficiency;
    let missing = due - (delivered - start);
    let rest = view.rest_of_step().max(hours(view.cycle()));
    let kw = missing / (point.efficiency * rest);
    // the counter lags: what is missing near the end must not become a burst
    let most = (1.3 * planned).max(want.min_kw).min(want.max_kw);
    if planned >= 0.97 * want.max_kw && missing > 0.0 {
        return want.max_kw;
    }
    if kw >= want.min_kw {
        return kw.min(most);
    }
    let (on, _) = view.on_since(&want.id);
    let shortest = want.min_kw * point.efficiency * hours(MIN_ON);
    if missing > if on { 0.0 } else { 0.6 * shortest } {
        want.min_kw
    } else {
        0.0
    }
}

/// Neither charging nor pause shorter than their minimum, unless something forces it.
fn hold_on(view: &View<'_>, want: &mut Want) {
    let (on, since) = view.on_since(&want.id);
    if on && want.kw < want.min_kw && since < MIN_ON && view.lead() != Lead::Idle {
        want.kw = want.min_kw;
    }
    if !on && want.kw > 0.0 && since < MIN_OFF && !want.must && has_charged(view, &want.id) {
        want.kw = 0.0;
    }
}

/// A car that has not charged in this session waits; it does not pause.
fn has_charged(view: &View<'_>, id: &Id) -> bool {
    view.state.sessions.get(id).is_some_and(|s| s.delivered.as_kwh() > 0.05)
}
